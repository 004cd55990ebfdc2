"""Each rule of the check on a small contract with one thing changed, and the real contracts."""

import pytest
from google.protobuf import text_format
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorSet

from protos.breaking_changes import breaking_changes
from protos.check_breaking import present_contracts, released_contracts

RELEASED = """
file {
  name: "shop.proto" package: "shop" syntax: "proto3"
  message_type {
    name: "Order"
    field { name: "id" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL }
    field { name: "lines" number: 2 type: TYPE_MESSAGE type_name: ".shop.Order.Line"
            label: LABEL_REPEATED }
    field { name: "card" number: 3 type: TYPE_STRING label: LABEL_OPTIONAL oneof_index: 0 }
    field { name: "cash" number: 4 type: TYPE_BOOL label: LABEL_OPTIONAL oneof_index: 0 }
    field { name: "note" number: 5 type: TYPE_STRING label: LABEL_OPTIONAL oneof_index: 1
            proto3_optional: true }
    oneof_decl { name: "payment" }
    oneof_decl { name: "_note" }
    nested_type {
      name: "Line"
      field { name: "count" number: 1 type: TYPE_UINT32 label: LABEL_OPTIONAL }
    }
    reserved_range { start: 9 end: 10 }
    reserved_range { start: 20 end: 536870912 }
    reserved_name: "tip"
  }
  enum_type {
    name: "State"
    value { name: "UNSPECIFIED" number: 0 }
    value { name: "OPEN" number: 1 }
    value { name: "CLOSED" number: 2 }
    reserved_range { start: 7 end: 7 }
  }
  service {
    name: "Shop"
    method { name: "Buy" input_type: ".shop.Order" output_type: ".shop.Order" }
    method { name: "Watch" input_type: ".shop.Order" output_type: ".shop.Order"
             server_streaming: true }
  }
}
"""


@pytest.fixture
def released() -> FileDescriptorSet:
    return text_format.Parse(RELEASED, FileDescriptorSet())


@pytest.fixture
def present(released) -> FileDescriptorSet:
    copy = FileDescriptorSet()
    copy.CopyFrom(released)
    return copy


@pytest.fixture
def file(present):
    return present.file[0]


@pytest.fixture
def order(file):
    return file.message_type[0]


def test_what_is_the_same_does_not_break(released, present):
    assert breaking_changes(released, present) == []


def test_additions_pass(released, present, file, order):
    order.field.add(name="gift", number=6, type=FieldDescriptorProto.TYPE_BOOL, label=1)
    order.field.add(name="voucher", number=7, type=9, label=1, oneof_index=0)
    order.reserved_name.append("old")
    file.message_type.add(name="Receipt")
    file.enum_type[0].value.add(name="LOST", number=3)
    file.enum_type.add(name="Colour")
    file.service[0].method.add(name="Sell", input_type=".shop.Order", output_type=".shop.Order")
    file.service.add(name="Stock")
    assert breaking_changes(released, present) == []


def test_a_deleted_field_leaves_its_number_and_its_name_reserved(released, present, order):
    del order.field[0]
    where = "field id = 1 of shop.Order was removed"
    assert breaking_changes(released, present) == [
        f"{where}; its number must be reserved",
        f"{where}; its name must be reserved",
    ]
    order.reserved_range.add(start=1, end=2)
    assert breaking_changes(released, present) == [f"{where}; its name must be reserved"]
    order.reserved_name.append("id")
    assert breaking_changes(released, present) == []


@pytest.mark.parametrize(
    ("field", "changes", "said"),
    [
        (0, {"number": 8}, "field id = 1 of shop.Order was renumbered to 8"),
        (0, {"name": "key"}, "field id = 1 of shop.Order was renamed to key"),
        (0, {"type": 12}, "field id = 1 of shop.Order changed its type from string to bytes"),
        (
            1,
            {"type_name": ".shop.Order"},
            "field lines = 2 of shop.Order changed its type from shop.Order.Line to shop.Order",
        ),
        (1, {"label": 1}, "field lines = 2 of shop.Order changed from repeated to singular"),
        (0, {"label": 3}, "field id = 1 of shop.Order changed from singular to repeated"),
        (
            0,
            {"oneof_index": 0},
            "field id = 1 of shop.Order moved from no oneof to oneof payment",
        ),
    ],
)
def test_a_changed_field_breaks(released, present, order, field, changes, said):
    for name, value in changes.items():
        setattr(order.field[field], name, value)
    assert breaking_changes(released, present) == [said]


def test_a_field_that_leaves_its_oneof_or_its_presence_breaks(released, present, order):
    order.field[2].ClearField("oneof_index")
    order.field[4].ClearField("oneof_index")
    order.field[4].proto3_optional = False
    assert breaking_changes(released, present) == [
        "field card = 3 of shop.Order moved from oneof payment to no oneof",
        "field note = 5 of shop.Order changed from optional to singular",
    ]


def test_removed_messages_enums_and_services_break_nested_ones_too(released, present, file, order):
    del order.nested_type[:]
    del file.enum_type[:]
    del file.service[:]
    assert breaking_changes(released, present) == [
        "message shop.Order.Line was removed",
        "enum shop.State was removed",
        "service shop.Shop was removed",
    ]


def test_removed_and_changed_enum_values_break(released, present, file):
    values = file.enum_type[0].value
    values[1].number, values[2].name = 5, "SHUT"
    assert breaking_changes(released, present) == [
        "value OPEN = 1 of shop.State was renumbered to 5",
        "value CLOSED = 2 of shop.State was renamed to SHUT",
    ]


def test_a_deleted_enum_value_leaves_its_number_and_its_name_reserved(released, present, file):
    state = file.enum_type[0]
    del state.value[2]
    where = "value CLOSED = 2 of shop.State was removed"
    assert breaking_changes(released, present) == [
        f"{where}; its number must be reserved",
        f"{where}; its name must be reserved",
    ]
    state.reserved_range.add(start=2, end=2)
    state.reserved_name.append("CLOSED")
    assert breaking_changes(released, present) == []


def test_what_was_reserved_stays_reserved(released, present, file, order):
    del order.reserved_range[:]
    del order.reserved_name[:]
    del file.enum_type[0].reserved_range[:]
    assert breaking_changes(released, present) == [
        "number 9 of shop.Order is no longer reserved",
        "number 20 to 536870911 of shop.Order is no longer reserved",
        "name tip of shop.Order is no longer reserved",
        "number 7 of shop.State is no longer reserved",
    ]


def test_removed_rpcs_and_changed_streaming_or_types_break(released, present, file):
    buy, watch = file.service[0].method
    buy.client_streaming = True
    watch.output_type = ".shop.Order.Line"
    assert breaking_changes(released, present) == [
        "rpc shop.Shop.Buy changed from shop.Order → shop.Order to stream shop.Order → shop.Order",
        "rpc shop.Shop.Watch changed from shop.Order → stream shop.Order "
        "to shop.Order → stream shop.Order.Line",
    ]
    del file.service[0].method[0]
    assert "rpc shop.Shop.Buy was removed" in breaking_changes(released, present)


def test_the_present_contracts_keep_what_was_released():
    released = released_contracts()
    assert {s.name for file in released.file for s in file.service} == {
        "FeedbackLog", "PolicyGenerator", "RewardModel", "TrainingOrchestrator",
    }  # fmt: skip
    assert breaking_changes(released, present_contracts()) == []

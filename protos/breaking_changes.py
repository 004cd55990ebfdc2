"""What breaks a client between two sets of contracts: on the wire, or in the names it uses.

What is deleted stays reserved, number and name, so that neither is given another meaning.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorSet,
    MethodDescriptorProto,
    ServiceDescriptorProto,
)


def breaking_changes(released: FileDescriptorSet, present: FileDescriptorSet) -> list[str]:
    """A sentence for each change that breaks; none for additions."""
    old, new = _flattened(released), _flattened(present)
    changes: list[str] = []
    for name, message in old.messages.items():
        changes += _of_message(name, message, new.messages.get(name))
    for name, enum in old.enums.items():
        changes += _of_enum(name, enum, new.enums.get(name))
    for name, service in old.services.items():
        changes += _of_service(name, service, new.services.get(name))
    return changes


@dataclass(frozen=True, slots=True)
class _Definitions:
    """Everything that is defined, by its full name."""

    messages: dict[str, DescriptorProto] = field(default_factory=dict)
    enums: dict[str, EnumDescriptorProto] = field(default_factory=dict)
    services: dict[str, ServiceDescriptorProto] = field(default_factory=dict)

    def add_message(self, scope: str, message: DescriptorProto) -> None:
        name = f"{scope}.{message.name}"
        self.messages[name] = message
        self.enums.update({f"{name}.{enum.name}": enum for enum in message.enum_type})
        for nested in message.nested_type:
            self.add_message(name, nested)


@dataclass(frozen=True, slots=True)
class _Reserved:
    """What must not be used again; a range's end is exclusive."""

    ranges: tuple[tuple[int, int], ...]
    names: frozenset[str]

    def has(self, start: int, end: int) -> bool:
        return any(first <= start and end <= last for first, last in self.ranges)


def _flattened(contracts: FileDescriptorSet) -> _Definitions:
    found = _Definitions()
    for file in contracts.file:
        for message in file.message_type:
            found.add_message(file.package, message)
        found.enums.update({f"{file.package}.{enum.name}": enum for enum in file.enum_type})
        found.services.update({f"{file.package}.{each.name}": each for each in file.service})
    return found


def _of_message(name: str, old: DescriptorProto, new: DescriptorProto | None) -> Iterator[str]:
    if new is None:
        yield f"message {name} was removed"
        return
    reserved = _reserved_by_message(new)
    yield from _unreserved(name, _reserved_by_message(old), reserved)
    by_number = {each.number: each for each in new.field}
    by_name = {each.name: each.number for each in new.field}
    for each in old.field:
        where = f"field {each.name} = {each.number} of {name}"
        kept = by_number.get(each.number)
        if kept is not None:
            yield from _of_field(where, old, each, new, kept)
        elif each.name in by_name:
            yield f"{where} was renumbered to {by_name[each.name]}"
        else:
            yield from _deleted(where, each.number, each.name, reserved)


def _of_field(
    where: str,
    old_message: DescriptorProto,
    old: FieldDescriptorProto,
    new_message: DescriptorProto,
    new: FieldDescriptorProto,
) -> Iterator[str]:
    if old.name != new.name:
        yield f"{where} was renamed to {new.name}"
    if _type(old) != _type(new):
        yield f"{where} changed its type from {_type(old)} to {_type(new)}"
    if _label(old) != _label(new):
        yield f"{where} changed from {_label(old)} to {_label(new)}"
    oneofs = _oneof(old_message, old), _oneof(new_message, new)
    if oneofs[0] != oneofs[1]:
        yield f"{where} moved from {oneofs[0]} to {oneofs[1]}"


def _of_enum(name: str, old: EnumDescriptorProto, new: EnumDescriptorProto | None) -> Iterator[str]:
    if new is None:
        yield f"enum {name} was removed"
        return
    reserved = _reserved_by_enum(new)
    yield from _unreserved(name, _reserved_by_enum(old), reserved)
    by_number = {value.number: value.name for value in new.value}
    by_name = {value.name: value.number for value in new.value}
    for value in old.value:
        where = f"value {value.name} = {value.number} of {name}"
        kept = by_number.get(value.number)
        if kept is None and value.name in by_name:
            yield f"{where} was renumbered to {by_name[value.name]}"
        elif kept is None:
            yield from _deleted(where, value.number, value.name, reserved)
        elif kept != value.name:
            yield f"{where} was renamed to {kept}"


def _of_service(
    name: str, old: ServiceDescriptorProto, new: ServiceDescriptorProto | None
) -> Iterator[str]:
    if new is None:
        yield f"service {name} was removed"
        return
    methods = {method.name: method for method in new.method}
    for method in old.method:
        where = f"rpc {name}.{method.name}"
        kept = methods.get(method.name)
        if kept is None:
            yield f"{where} was removed"
        elif _signature(method) != _signature(kept):
            yield f"{where} changed from {_signature(method)} to {_signature(kept)}"


def _deleted(where: str, number: int, name: str, reserved: _Reserved) -> Iterator[str]:
    if not reserved.has(number, number + 1):
        yield f"{where} was removed; its number must be reserved"
    if name not in reserved.names:
        yield f"{where} was removed; its name must be reserved"


def _unreserved(where: str, old: _Reserved, new: _Reserved) -> Iterator[str]:
    for start, end in old.ranges:
        if not new.has(start, end):
            numbers = str(start) if end == start + 1 else f"{start} to {end - 1}"
            yield f"number {numbers} of {where} is no longer reserved"
    for name in sorted(old.names - new.names):
        yield f"name {name} of {where} is no longer reserved"


def _reserved_by_message(message: DescriptorProto) -> _Reserved:
    ranges = tuple((each.start, each.end) for each in message.reserved_range)
    return _Reserved(ranges, frozenset(message.reserved_name))


def _reserved_by_enum(enum: EnumDescriptorProto) -> _Reserved:
    """Unlike a message's, an enum's ranges include their end."""
    ranges = tuple((each.start, each.end + 1) for each in enum.reserved_range)
    return _Reserved(ranges, frozenset(enum.reserved_name))


def _type(field: FieldDescriptorProto) -> str:
    scalar = FieldDescriptorProto.Type.Name(field.type).removeprefix("TYPE_").lower()
    return field.type_name.removeprefix(".") or scalar


def _label(field: FieldDescriptorProto) -> str:
    if field.label == FieldDescriptorProto.LABEL_REPEATED:
        return "repeated"
    return "optional" if field.proto3_optional else "singular"


def _oneof(message: DescriptorProto, field: FieldDescriptorProto) -> str:
    """The oneof that a field is in; `optional` makes one of its own that does not count."""
    if not field.HasField("oneof_index") or field.proto3_optional:
        return "no oneof"
    return f"oneof {message.oneof_decl[field.oneof_index].name}"


def _signature(method: MethodDescriptorProto) -> str:
    sides = (
        (method.client_streaming, method.input_type),
        (method.server_streaming, method.output_type),
    )
    return " → ".join(("stream " if streams else "") + name[1:] for streams, name in sides)

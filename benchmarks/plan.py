"""What a number of pictures costs in node-hours, and which resource ends first: `python -m benchmarks.plan`.

Measures one node on a sample of the pictures with the model that shall score them: reading, decoding, inference, and
scoring as a whole, from which the cost is computed. Nodes are taken to add up until the disk or network that they share
(`--shared-mib-s`) is full; `python -m benchmarks.scaling` measures how far two of them do.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.rates.node_rates import NodeRates, measure_node
from project.command import UsageError, command
from project.write_whole import write_whole
from runtime.model.contract import DEFAULT_MODEL
from runtime.model.session import Predictor
from runtime.serving.model_reference import ModelUnavailable
from scoring.model_folder import model_folder
from scoring.pictures import ScoringError
from scoring.pipeline import KNOWN_ERRORS, Scorer


@dataclass(frozen=True)
class Cost:
    """A number of nodes for a number of pictures. first_to_end: the resource that no other would let go faster."""

    nodes: int
    pictures_per_s: float
    hours: float
    node_hours: float
    first_to_end: str


def capacities(rates: NodeRates, nodes: int, shared_mib_s: float) -> dict[str, float]:
    """Return resource -> pictures a second that it alone would allow, over all nodes. shared_mib_s: 0 for no limit."""
    per_mib = 2**20 / rates.bytes_per_picture
    found = {"each node's disk or network": nodes * rates.read_mib_s * per_mib}
    if shared_mib_s:
        found["the disk or network that nodes share"] = shared_mib_s * per_mib
    decode = rates.decode_per_core * rates.cores
    if rates.device != "cpu":
        return found | {"cores for decoding": nodes * decode, "GPU for inference": nodes * rates.infer}
    # One core does either. The one that takes more of its time is the one to make cheaper.
    both = 1 / (1 / decode + 1 / rates.infer)
    share = both / decode
    name = "decoding" if share > 0.5 else "inference"
    return found | {f"cores, {max(share, 1 - share):.0%} of their time for {name}": nodes * both}


def cost(rates: NodeRates, num_pictures: int, nodes: int, shared_mib_s: float) -> Cost:
    """Compute what `num_pictures` take on `nodes` like the one measured."""
    limits = capacities(rates, nodes, shared_mib_s)
    first = min(limits, key=limits.__getitem__)
    # What was measured as a whole, never more: steps wait for each other in ways that their own rates do not show.
    rate = min(nodes * rates.score, *limits.values())
    hours = num_pictures / rate / 3600
    return Cost(nodes, round(rate, 1), round(hours, 3), round(nodes * hours, 3), first)


def nodes_that_fill(rates: NodeRates, shared_mib_s: float) -> float:
    """How many nodes the shared disk or network feeds; more of them wait for it."""
    return shared_mib_s * 2**20 / rates.bytes_per_picture / rates.score


def _measure(source: Path, model: str, sample_size: int, num_rounds: int) -> NodeRates:
    tag, model_dir = model_folder(model)
    predictor = Predictor.load(model_dir, sessions=0)
    return measure_node(source, Scorer.of(predictor, tag), sample_size, num_rounds)


def _page(rates: NodeRates, costs: Sequence[Cost], num_pictures: int, shared_mib_s: float) -> str:
    lines = [
        f"one node: {rates.cores} core(s), {rates.device}; {rates.num_sampled} pictures of "
        f"{rates.bytes_per_picture / 1024:.1f} KiB on average",
        f"  read     {rates.read_mib_s:10.1f} MiB/s",
        f"  decode   {rates.decode_per_core:10.1f} pictures/s a core",
        f"  infer    {rates.infer:10.1f} pictures/s",
        f"  score    {rates.score:10.1f} pictures/s, all steps",
        f"{num_pictures} pictures:",
        "  nodes  pictures/s       hours  node-hours  ends first",
    ]
    lines += [
        f"  {one.nodes:5d}  {one.pictures_per_s:10.1f}  {one.hours:10.3f}  {one.node_hours:10.3f}  {one.first_to_end}"
        for one in costs
    ]
    if shared_mib_s:
        lines.append(f"{shared_mib_s:.0f} MiB/s feed {nodes_that_fill(rates, shared_mib_s):.1f} such nodes")
    return "\n".join(lines) + "\n"


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--pictures", type=int, required=True, help="how many shall be scored")
    parser.add_argument("--source", type=Path, default=Path("data/manifest.csv"), help="as scoring.shard takes it")
    parser.add_argument("--model", default=DEFAULT_MODEL, help="tag in the model store, or a folder")
    parser.add_argument("--nodes", type=int, nargs="+", default=[1, 2, 4, 8, 16])
    parser.add_argument("--shared-mib-s", type=float, default=0.0, help="what the shared disk gives all nodes together")
    parser.add_argument("--sample", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--rates", type=Path, help="rates that an earlier run wrote, instead of measuring")
    parser.add_argument("--out", type=Path, default=Path("artifacts/benchmarks/plan.json"))


@command(_arguments, known=(*KNOWN_ERRORS, ModelUnavailable, ScoringError))
def main(arguments: argparse.Namespace) -> None:
    if min(arguments.pictures, arguments.sample, arguments.rounds, *arguments.nodes) < 1:
        raise UsageError("--pictures, --nodes, --sample and --rounds must be at least 1")
    rates = (
        NodeRates.read(arguments.rates)
        if arguments.rates
        else _measure(arguments.source, arguments.model, arguments.sample, arguments.rounds)
    )
    costs = [cost(rates, arguments.pictures, nodes, arguments.shared_mib_s) for nodes in arguments.nodes]
    write_whole(arguments.out.parent / "node_rates.json", rates.model_dump_json(indent=2) + "\n")
    found = {"pictures": arguments.pictures, "rates": rates.model_dump(), "costs": [asdict(one) for one in costs]}
    write_whole(arguments.out, json.dumps(found, indent=2) + "\n")
    sys.stdout.write(_page(rates, costs, arguments.pictures, arguments.shared_mib_s))


if __name__ == "__main__":
    sys.exit(main())

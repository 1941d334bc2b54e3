"""The GPU's part of the benchmark at toy size on a processor: a case of its grid, compiled, and the entropy tables.

Models go through torch's tracer, and what it makes runs as it is: a real compiler would take minutes. Prints the rows,
the number of graphs and a table. An error ends it where torch would have given up compiling in silence.
"""

import json
import sys
from functools import partial
from pathlib import Path

TOY = {"model": "tiny", "vocabulary": 300, "length": 16, "tokens": 32, "turns": 1}


def main():
    sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
    import torch

    graphs = []

    def as_it_is(graph, inputs, **options):
        graphs.append(graph)
        return graph.forward

    torch.set_num_threads(1)
    torch.compile = partial(torch.compile, backend=as_it_is)
    torch._dynamo.config.fail_on_recompile_limit_hit = True

    import bench
    import grid
    import rows
    import works

    case = grid.cuda_grid(turns=1)[0]._replace(**TOY)
    place = works.Place("cpu", None, grid.CUDA_JOB, compiled=True)
    found = json.loads(rows.as_json(list(works.rows_of(case, place))))
    table = bench.entropy_tables([(8, 300, 16)], 1, "cpu")
    print(json.dumps({"rows": found, "graphs": len(graphs), "table": table}))


if __name__ == "__main__":
    main()

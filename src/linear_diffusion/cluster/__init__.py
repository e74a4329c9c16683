"""Cluster: the same passes and the same samples, on the workers of Dask.

    fit      a block --worker--> its sums --a tree of merges--> one object of sums                  (`cluster.source`)
    sample   what a block is drawn from --worker--> images --in their order--> a file             (`cluster.sampling`)

Workers are threads of this process, processes of this machine, or whatever answers at a scheduler's address
(`cluster.workers`). Tasks depend on nothing but what they are given, so that one of a worker that was killed is done by
another, and changes nothing.
"""

from .sampling import sample_to

__all__ = ["sample_to"]

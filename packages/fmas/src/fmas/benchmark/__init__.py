"""``fmas benchmark``: do imagined defects, and WDAM, help on *your* data set? With seeds, intervals and p-values.

::

    layouts     what lies in a data set folder (MVTec AD, VisA) -> categories
    variants    what is compared with what
    cells       one (category, seed, variant) and the commands that make it
    leash       a child process that does not outlive its parent
    steps       running one command in such a process
    runner      all cells, several at a time, resumable
    measuring   maps and scores on disk -> figures, by a ruler that is handed in
    statistics  figures of several seeds and categories -> means, intervals, p-values
    results     everything together, as JSON values
    tables, page  the same for people
    published   what the authors report

Nothing here knows ``fmas_evaluate``: ``fmas/cli/benchmark.py`` hands in a :class:`~fmas.benchmark.ruler.Ruler`.
"""

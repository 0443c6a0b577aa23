"""Streams, fan-out, handshakes, memory and ``notify()`` per second, beside the peers that can be installed.

``python -m benchmarks`` runs everything, prints a table and writes JSON; ``docs/benchmarks.md`` says what each number means.

    __main__ ─► plan ─► scenarios ─┬─► server   one server process, pinned to its core, asked through /proc and its CPU clock
                                   └─► client   all streams in this process, pinned to the other core ─► transcript
             ─► summary, bars ─► report
"""

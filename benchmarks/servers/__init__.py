"""The servers that are measured: small real projects, each published to in the same way.

``POST /publish`` with ``{"stored": bool, "first": n, "count": k}`` publishes ``k`` events to every open stream, one call of the
project's own publishing function after the other, out of the server process, as a view of a site would.
"""

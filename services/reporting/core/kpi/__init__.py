"""The catalogue of key figures, and how a question is answered from it. Pure.

Theory of operation
-------------------
``counts`` says what can be added up, ``measures`` which sums and ratios of counts people read, ``sources`` over which rows and by which
dimensions. A ``question`` (measures, dimensions, interval, span, filters) becomes one statement a source (``statement``); each
returns whole numbers by key. ``answer`` joins them and divides. Nothing is divided in SQL, so a total is made from the counts of everything and never from
the ratios of its parts, and the same numbers come out whether rows or 15-minute states were read.

The pages, the dictionary, scheduled reports and dashboards read the same catalogue: a name or formula is changed here only.
"""

from __future__ import annotations

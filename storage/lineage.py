"""Where an example stands in the sources, also one that was made from a row by editing it.

A redacted row is a row without its personal data, an indicated one a row with a mark: each stands
where the row stands that it was made from. An answer that was generated stands nowhere.
"""

EDITS = "('redacted', 'indicated')"

EDITED = f"""
select example_id, parent_id as root, 1 as edits from lineage where method in {EDITS}
union all
select t.example_id, r.parent_id, 2
from lineage t join lineage r on r.example_id = t.parent_id and r.method = 'redacted'
where t.method = 'indicated'
"""
"""SQL: example_id, each example that it was edited from, and how many edits ago."""

HELD = f"""
select example_id, source_id, position, rejected, 0 as edits from occurrences
union all
select e.example_id, o.source_id, o.position, o.rejected, e.edits
from ({EDITED}) e join occurrences o on o.example_id = e.root
"""
"""SQL: example_id, source_id and position of every row, whether it is the rejected answer of a pair
there, and how often it was edited since."""

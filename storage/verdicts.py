"""Which answers were right, in the order in which runs came to judge them."""

import pyarrow as pa

from storage.database import Connection
from storage.lineage import EDITED, HELD

PROMPTS = """
select
    prompt_id,
    min(example_id) as example_id,
    coalesce(min(path), 'generated') as path
from examples
left join occurrences using (example_id)
left join sources using (source_id)
group by prompt_id
"""

VERDICTS = f"""
with judged as (
    select d.run_id, r.started_at, d.example_id, e.prompt_id, d.value as correct
    from decisions d
    join stage_counts c using (run_id, stage, step)
    join runs r using (run_id)
    join examples e using (example_id)
    where stage = 'select' and starts_with(c.label, 'correct_answer(') and d.value is not null
    qualify row_number() over (partition by d.run_id, d.example_id order by c.step) = 1
),
first_judged as (
    from judged
    qualify row_number() over (partition by example_id order by started_at, run_id) = 1
),
roots as (
    select example_id, example_id as root from first_judged
    union
    select example_id, root from ({EDITED})
),
-- An answer for each row of a source, and for each attempt of a model, whatever its text.
in_sources as (
    select first_judged.*
    from first_judged join ({HELD}) using (example_id) join run_sources using (run_id, source_id)
),
attempted as (
    select judged.*
    from generation_attempts a
    join lineage l using (example_id, parent_id, generation_key)
    join runs made on made.run_id = l.run_id
    join roots on roots.root = a.example_id
    join judged on judged.example_id = roots.example_id and judged.started_at >= made.started_at
    qualify row_number() over (
        partition by judged.example_id, a.parent_id, a.generation_key, a.attempt
        order by judged.started_at, judged.run_id
    ) = 1
),
answers as (
    from in_sources union all from attempted
    union all  -- of rows that somebody put there by other means
    from first_judged where example_id not in (
        select example_id from in_sources union all select example_id from attempted
    )
),
prompts as ({PROMPTS})
select
    dense_rank() over (order by started_at, run_id) - 1 as round,
    {{group}} as task,
    sum(correct)::bigint as correct,
    count(*) as tried
from answers join prompts using (prompt_id)
group by started_at, run_id, task
order by round, task
"""

MEMBERS = """
select examples.example_id, {group} as task
from examples join ({prompts}) prompts using (prompt_id)
order by example_id
"""

GROUPS = {"prompt": "prompts.example_id", "source": "prompts.path"}
"""What a task can be: a prompt, told by the lowest id of its examples, or the source of it."""


def read_verdicts(con: Connection, by: str) -> pa.Table:
    """How many answers to each task were right, as `correct_answer` found, round by round.

    A round is a run. Every attempt of a model and every row of a source is an answer, also where
    their texts are the same; it counts in the first run that judged it.

    Args:
        con: an open workspace.
        by: a key of GROUPS.

    Returns:
        Columns round (from 0), task, correct and tried, by round and task.
    """
    con.execute(VERDICTS.format(group=GROUPS[by]))
    return con.to_arrow_table()


def read_task_members(con: Connection, by: str) -> pa.Table:
    """The examples of every task, whether one of its answers was judged or not.

    Args:
        con: an open workspace.
        by: a key of GROUPS.

    Returns:
        Columns example_id and task, by example_id.
    """
    con.execute(MEMBERS.format(group=GROUPS[by], prompts=PROMPTS))
    return con.to_arrow_table()

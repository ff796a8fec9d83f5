"""Which answers were right, in the order in which runs came to judge them."""

import pyarrow as pa

from storage.database import Connection

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

VERDICTS = """
with judged as (
    select d.run_id, r.started_at, d.example_id, e.prompt_id, d.value as correct
    from decisions d
    join stage_counts c using (run_id, stage, step)
    join runs r using (run_id)
    join examples e using (example_id)
    where stage = 'select' and starts_with(c.label, 'correct_answer(') and d.value is not null
    qualify row_number() over (
        partition by d.example_id order by r.started_at, d.run_id
    ) = 1
),
prompts as ({prompts})
select
    dense_rank() over (order by started_at, run_id) - 1 as round,
    {group} as task,
    sum(correct)::bigint as correct,
    count(*) as tried
from judged join prompts using (prompt_id)
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

    A round is a run; an answer counts in the first that judged it.

    Args:
        con: an open workspace.
        by: a key of GROUPS.

    Returns:
        Columns round (from 0), task, correct and tried, by round and task.
    """
    con.execute(VERDICTS.format(group=GROUPS[by], prompts=PROMPTS))
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

"""The tables of a workspace, as statements applied in order. Never edit one: append the next."""

MIGRATIONS = (
    """create table sources (
        source_id varchar primary key,    -- hash of the file's content and of how it is read
        path varchar not null,            -- where it was when first read
        format varchar,                   -- null: told from the file's suffix
        shape varchar,                    -- null: recognised row by row
        license varchar not null,
        content_hash varchar not null,
        bytes bigint not null,
        rows bigint,                      -- null until every row has been read
        complete boolean not null default false
    )""",
    """create table examples (
        example_id varchar primary key,   -- hash of messages and tools
        prompt_id varchar not null,       -- hash of what stands before the trained response
        messages varchar not null,        -- canonical JSON
        tools varchar not null,           -- canonical JSON, [] where there are none
        response_at integer,              -- index of the trained response; null: a prompt only
        prompt varchar not null,          -- as plain text
        response varchar not null,        -- as plain text
        origin varchar not null           -- 'source' or 'generated'
    )""",
    """create table occurrences (
        source_id varchar not null,
        position bigint not null,         -- line or row number, from 1
        example_id varchar not null,
        shape varchar not null,           -- the row shape it was read as
        primary key (source_id, position)
    )""",
    """create table quarantine (
        source_id varchar not null,
        position bigint not null,
        reason varchar not null,
        detail varchar not null,
        raw blob not null,                -- the row as it stood in the file
        primary key (source_id, position)
    )""",
    """create table lineage (
        example_id varchar not null,      -- the new example
        parent_id varchar not null,       -- the example it was made from
        method varchar not null,
        generation_key varchar not null,  -- hash of model and settings
        model varchar not null,
        settings varchar not null,        -- JSON
        run_id varchar not null,          -- the run that made it
        primary key (example_id, parent_id, generation_key)
    )""",
    """create table generation_attempts (
        parent_id varchar not null,
        generation_key varchar not null,
        attempt integer not null,         -- 0 … answers - 1
        state varchar not null,           -- 'ok' or 'failed'
        detail varchar not null,
        example_id varchar,               -- null where it failed
        primary key (parent_id, generation_key, attempt)
    )""",
    """create table measures (
        measure_key varchar primary key,  -- hash of the four columns that follow
        measure varchar not null,
        model_fingerprint varchar not null,
        template_fingerprint varchar not null,
        settings varchar not null,        -- JSON: what can change the number
        model varchar not null            -- the model as the recipe named it
    )""",
    """create table shards (
        measure_key varchar not null,
        path varchar not null,            -- relative to measurements/
        rows bigint not null,
        seconds double not null,          -- the time the model took
        primary key (measure_key, path)
    )""",
    """create table scores (
        example_id varchar not null,
        scorer varchar not null,
        version integer not null,
        settings varchar not null,        -- JSON: the scorer's settings and its measure_key
        value double,                     -- null: could not be had. Never 0.
        state varchar not null,           -- ok, truncated, failed, not_applicable, not_measured
        primary key (example_id, scorer, version, settings)
    )""",
    """create table runs (
        run_id varchar primary key,       -- hash of the recipe, its sources and the code
        name varchar not null,
        recipe varchar not null,          -- JSON, resolved
        seed bigint not null,
        code_version varchar not null,
        models varchar not null,          -- JSON: reference → fingerprint
        started_at timestamptz not null,  -- of the latest execution
        finished_at timestamptz,          -- null: not finished, or running
        executions integer not null
    )""",
    """create table run_sources (
        run_id varchar not null,
        source_id varchar not null,
        primary key (run_id, source_id)
    )""",
    """create table stage_counts (
        run_id varchar not null,
        stage varchar not null,
        step integer not null,            -- order within the stage
        label varchar not null,
        rows_in bigint not null,
        added bigint not null,
        kept bigint not null,
        dropped varchar not null,         -- JSON: reason → rows
        quarantined varchar not null,     -- JSON: reason → rows
        notes varchar not null,           -- JSON: anything worth printing beside it
        primary key (run_id, stage, step),
        check (rows_in >= 0 and added >= 0 and kept >= 0)
    )""",
    """create table decisions (
        run_id varchar not null,
        stage varchar not null,
        step integer not null,
        example_id varchar not null,
        outcome varchar not null,         -- 'kept' or 'dropped'
        reason varchar not null,
        because_of varchar,               -- the example that caused it
        value double,                     -- the number that decided: a similarity, a score
        primary key (run_id, stage, step, example_id)
    )""",
    """create table selections (
        selection_id varchar primary key, -- hash of the ordered rows and weights
        name varchar not null,
        rows bigint not null,
        loss_tokens bigint not null
    )""",
    """create table run_selections (
        run_id varchar not null,
        selection_id varchar not null,
        kind varchar not null,            -- choice, random, length_matched or held_out
        parent_id varchar,                -- the choice that a control belongs to
        primary key (run_id, kind)
    )""",
    """create table selection_rows (
        selection_id varchar not null,
        rank bigint not null,             -- from 1, in the order picked
        example_id varchar not null,
        weight double not null,
        primary key (selection_id, rank)
    )""",
    """create table exports (
        export_id varchar primary key,    -- hash of the manifest
        selection_id varchar not null,
        path varchar not null,            -- relative to the workspace
        rows bigint not null,
        loss_tokens bigint not null
    )""",
    """create table trials (
        trial_id varchar primary key,     -- hash of export, model and settings
        export_id varchar not null,
        adapter varchar not null,         -- relative to the workspace
        report varchar not null           -- JSON
    )""",
    # ---- version 0.2 -----------------------------------------------------------------------------
    # the run of the same recipe name that finished before this one started; null: the first
    "alter table runs add column previous_run_id varchar",
    # when all its rows were first here; null: by an older version
    "alter table sources add column ingested_at timestamptz",
    # of the file, when it was committed; null: by an older version
    "alter table shards add column sha256 varchar",
    """create table run_measures (
        run_id varchar not null,
        name varchar not null,            -- what the run calls the measure
        measure_key varchar not null,
        primary key (run_id, name)
    )""",
    # JSON: seconds, samples, device and memory, over all executions; null: by an older version
    "alter table trials add column cost varchar",
    # ---- evidence ----
    """create table selection_evidence (
        run_id varchar primary key,
        selection_id varchar not null,
        evidence varchar not null         -- JSON: lengths, overlaps, sensitivity, agreement
    )""",
    # ---- contamination ---------------------------------------------------------------------------
    """create table contamination_hits (
        run_id varchar not null,
        example_id varchar not null,
        evaluation varchar not null,      -- name of the evaluation set
        item bigint not null,             -- line or row number in its file, from 1
        matched varchar not null,         -- prompt, answer or overlap
        rule varchar not null,
        similarity double not null,       -- share of the part that was found, or a cosine
        evidence varchar not null         -- JSON: what is shared, and where it stands
    )""",
    """create table evaluation_items_unchecked (
        run_id varchar not null,
        evaluation varchar not null,
        item bigint not null,
        reason varchar not null,
        detail varchar not null
    )""",
    """create table contamination_checks (
        run_id varchar primary key,
        summary varchar not null          -- JSON: sets, rules, recall on injected leaks
    )""",
    # ---- reviews ----
    """create table reviews (
        selection_id varchar not null,
        example_id varchar not null,
        source varchar not null,          -- path of its source, or 'generated'
        drawn varchar not null,           -- 'random' or 'suspect'
        verdict varchar,                  -- 'ok' or 'bad'; null: not read yet
        note varchar not null,
        reviewed_at timestamptz,          -- null: not read yet
        primary key (selection_id, example_id)
    )""",
    # ---- targets ---------------------------------------------------------------------------------
    """create table run_targets (
        run_id varchar not null,
        source_id varchar not null,       -- its rows are targets, and not in the pool
        primary key (run_id, source_id)
    )""",
    # ---- personal data ---------------------------------------------------------------------------
    """create table personal_data_hits (
        run_id varchar not null,
        example_id varchar not null,
        kind varchar not null,            -- email, phone, key, card, iban or ip
        place varchar not null,           -- prompt, response or later
        hits integer not null,
        primary key (run_id, example_id, kind, place)
    )""",
    # ---- copies ----------------------------------------------------------------------------------
    # of a copy that went: what decided between it and the one that stayed; null: not said
    "alter table decisions add column detail varchar",
    # ---- trained turns ---------------------------------------------------------------------------
    # indices of the trained turns where they are several; null: response_at alone
    "alter table examples add column trained_at integer[]",
    # all or last: which assistant turns of its rows are trained
    "alter table sources add column turns varchar default 'last'",
    # indices of the trained turns that stay so where a step took some away; null: all
    "alter table selection_rows add column turns integer[]",
    # ---- long rows -------------------------------------------------------------------------------
    # No key: to keep one costs more than all else of a row, and grows. What is written is not
    # there yet: storage/arriving_rows.py sees to it.
    """create table short_examples (
        example_id varchar not null,      -- hash of messages and tools
        prompt_id varchar not null,       -- hash of what stands before the trained response
        messages varchar not null,        -- canonical JSON
        tools varchar not null,           -- canonical JSON, [] where there are none
        response_at integer,              -- index of the trained response; null: a prompt only
        prompt varchar not null,          -- as plain text
        response varchar not null,        -- as plain text
        origin varchar not null,          -- 'source', 'generated', 'redacted' or 'indicated'
        trained_at integer[]              -- indices of the trained turns where they are several
    )""",
    # of which part of the long rows; a part is the table long_examples_PART, with the same columns
    """create table long_rows (
        example_id varchar not null,
        part integer not null,
        bytes bigint not null             -- of its messages
    )""",
    "insert into short_examples select * from examples",
    "drop table examples",
    "create view examples as select * from short_examples",
    """create table unkeyed_occurrences (
        source_id varchar not null,
        position bigint not null,         -- line or row number, from 1
        example_id varchar not null,
        shape varchar not null            -- the row shape it was read as
    )""",
    "insert into unkeyed_occurrences select * from occurrences",
    "drop table occurrences",
    "alter table unkeyed_occurrences rename to occurrences",
    """create table unkeyed_quarantine (
        source_id varchar not null,
        position bigint not null,
        reason varchar not null,
        detail varchar not null,
        raw blob not null                 -- the row as it stood in the file, or its beginning
    )""",
    "insert into unkeyed_quarantine select * from quarantine",
    "drop table quarantine",
    "alter table unkeyed_quarantine rename to quarantine",
    # bytes above which a row was not read; null: as many as are parsed where nothing is said
    "alter table sources add column max_row_bytes bigint",
    # ---- outcomes: decisions without the rows that were kept and of which nothing is said -------
    """create table outcomes (
        run_id varchar not null,
        stage varchar not null,
        step integer not null,
        example_id varchar not null,
        outcome varchar not null,         -- dropped, added (and kept), or kept with a remark
        reason varchar not null,
        because_of varchar,               -- the example that caused it
        value double,                     -- the number that decided: a similarity, a score
        detail varchar
    )""",
    """insert into outcomes
    with entered as (
        select distinct run_id, example_id from run_sources join occurrences using (source_id)
    ),
    made as (
        select run_id, example_id, arg_min(stage, place) as stage from (
            select *, list_position(['generate', 'clean', 'indicate'], stage) as place
            from decisions
        )
        where place is not null and outcome = 'kept'
          and (run_id, example_id) not in (select run_id, example_id from entered)
        group by all
    )
    select run_id, stage, step, example_id,
           if(made.example_id is null, outcome, 'added'), reason, because_of, value, detail
    from decisions left join made using (run_id, stage, example_id)
    where reason <> '' or because_of is not null or value is not null or detail is not null
       or made.example_id is not null""",
    "drop table decisions",
    """create view decisions as
    with steps as (
        select run_id, stage, step, 1000 * list_position(
            ['ingest', 'generate', 'clean', 'indicate', 'dedupe', 'check', 'select', 'export'],
            stage
        ) + step as place
        from stage_counts
    ),
    told as (select outcomes.*, place from outcomes join steps using (run_id, stage, step)),
    entered as (
        select distinct run_id, example_id, 0 as place
        from run_sources join occurrences using (source_id)
        union all
        select run_id, example_id, place from told where outcome = 'added'
    ),
    passed as (
        select s.run_id, s.stage, s.step, e.example_id
        from entered e join steps s on s.run_id = e.run_id and s.place >= e.place
        where not exists (
            from told d where d.outcome = 'dropped' and d.run_id = e.run_id
              and d.example_id = e.example_id and d.place >= e.place and d.place < s.place
        )
    )
    select run_id, stage, step, example_id, if(outcome = 'added', 'kept', outcome) as outcome,
           reason, because_of, value, detail
    from outcomes
    union all
    select run_id, stage, step, example_id, 'kept', '', null, null, null
    from passed anti join outcomes using (run_id, stage, step, example_id)""",
    # ---- scores without a key, which took longer than the scores: storage/scores.py replaces -----
    """create table unkeyed_scores (
        example_id varchar not null,
        scorer varchar not null,
        version integer not null,
        settings varchar not null,        -- JSON: the scorer's settings and its measure_key
        value double,                     -- null: could not be had. Never 0.
        state varchar not null            -- ok, truncated, failed, not_applicable, not_measured
    )""",
    "insert into unkeyed_scores select * from scores",
    "drop table scores",
    "alter table unkeyed_scores rename to scores",
    # ---- documents -------------------------------------------------------------------------------
    """create table documents (
        document_id varchar primary key,  -- hash of the file's content and of how it is read
        content_hash varchar not null,    -- '' where the file could not be opened
        kind varchar not null,            -- text, markdown, html, pdf, docx; '' for none of them
        reader varchar not null,          -- version of what takes the text, and of its package
        bytes bigint not null,
        characters bigint,                -- of its text; null in quarantine
        pages integer,                    -- null: its kind has none, or it is in quarantine
        text_hash varchar,                -- SHA-256 of its text; null in quarantine
        reason varchar,                   -- why it is in quarantine; null: it is not
        detail varchar not null           -- what to do then; else what is to be said of it
    )""",
    """create table document_cuts (
        cut_id varchar primary key,       -- hash of the five columns that follow
        document_id varchar not null,
        tokens integer not null,          -- of a passage, at most
        overlap integer not null,
        least integer not null,
        tokenizer varchar not null,       -- fingerprint of its model
        passages bigint not null
    )""",
    """create table passages (
        cut_id varchar not null,
        position bigint not null,         -- in the document, from 1
        passage_id varchar not null,      -- hash of the document's content, offsets and text
        page integer,                     -- it begins on, from 1; null: no pages
        last_page integer,                -- it ends on
        headings varchar[] not null,      -- it stands under, outermost first
        start_at bigint not null,         -- character of the document's text, from 0
        end_at bigint not null,           -- the one after its last
        tokens integer not null,
        text varchar not null
    )""",
    """create table run_documents (
        run_id varchar not null,
        path varchar not null,            -- as seen from the workspace
        name varchar not null,
        license varchar not null,
        document_id varchar not null,
        cut_id varchar not null           -- in document_cuts, unless it is in quarantine
    )""",
    # ---- makers ----------------------------------------------------------------------------------
    """create table replies (
        reply_key varchar primary key,    -- hash of the model's identity and of all it was asked
        text varchar,                     -- null where none was had
        tokens integer not null,          -- of a silent server: as many as there may be
        finished boolean not null,        -- false: cut off
        reason varchar not null,          -- why there is no text; '' where there is
        kept_at varchar not null          -- file below requests/; '' where no server was asked
    )""",
    """create table maker_calls (
        generation_key varchar not null,  -- as in lineage
        method varchar not null,          -- the maker
        source_id varchar not null,       -- the example it was at work on; '' of a whole pool
        stage varchar not null,
        attempt integer not null,
        kind varchar not null,            -- generate, judge, retry, embed or train
        reply_key varchar not null,
        outcome varchar not null,         -- kept, dropped, or open where a budget stopped it
        reason varchar not null,
        primary key (generation_key, source_id, stage, attempt)
    )""",
    """create view maker_ledger as
    select generation_key, method, kind, count(*) as calls, sum(tokens) as tokens,
           count(*) filter (outcome = 'kept') as kept,
           count(*) filter (outcome = 'dropped') as dropped,
           count(*) filter (outcome = 'open') as open
    from maker_calls join replies using (reply_key)
    group by all""",
    "alter table replies add column options varchar",  # JSON: option → probability; null of others
    # ---- trials ----------------------------------------------------------------------------------
    """create table trial_plans (
        plan_id varchar primary key,      -- hash of the plan
        run_id varchar not null,          -- whose choice is compared
        plan varchar not null,            -- JSON: arms, seeds, evaluations, what decides
        written_at timestamptz not null,  -- before anything was trained for it
        changed_after varchar,            -- the plan of the same run that had a result by then
        result varchar                    -- JSON; null until there is one
    )""",
    """create table trial_replicates (
        plan_id varchar not null,
        arm varchar not null,
        replicate_id varchar not null,    -- as in trials; of the untrained model its fingerprint
        learning_rate double,             -- null: not trained
        seed integer not null,
        export_id varchar,                -- null: not trained
        primary key (plan_id, arm, replicate_id)
    )""",
    """create table trial_items (
        replicate_id varchar not null,
        evaluation_id varchar not null,   -- hash of its items and of how they are read
        metric varchar not null,          -- nll, margin, accuracy or exact
        item bigint not null,             -- line or row number in its file, from 1
        cluster varchar,                  -- null: the item is one by itself
        value double not null,            -- nats, summed over its tokens, of nll
        tokens bigint not null,           -- of nll; 1 of the others
        primary key (replicate_id, evaluation_id, metric, item)
    )""",
    # Of a silent server as many as there may be, 0 in process; null of replies before that.
    "alter table replies add column prompt_tokens integer",
    "alter table replies add column seconds double",  # its share of its batch
    """create or replace view maker_ledger as
    select generation_key, method, kind, count(*) as calls, sum(tokens) as tokens,
           count(*) filter (outcome = 'kept') as kept,
           count(*) filter (outcome = 'dropped') as dropped,
           count(*) filter (outcome = 'open') as open,
           coalesce(sum(prompt_tokens), 0) as prompt_tokens
    from maker_calls join replies using (reply_key)
    group by all""",
    # ---- the handoff -----------------------------------------------------------------------------
    """create table handovers (
        handover_key varchar primary key, -- hash of export, target and training's settings
        export_id varchar not null,
        run_id varchar not null,          -- that handed it over
        sent_at timestamptz not null
    )""",
    # ---- who reviewed ----------------------------------------------------------------------------
    "alter table reviews add column reviewer varchar",  # null: not read, or nobody said who reads
    # ---- pairs -----------------------------------------------------------------------------------
    # of a row that is a pair, whether this is its rejected answer; the other has the same position
    "alter table occurrences add column rejected boolean default false",
)

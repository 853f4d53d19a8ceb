-- Writes a group of appends, each to one or many streams, all or nothing, and reports for each of them:
--   applied    written; its versions lie behind the bases of its parts
--   repeated   the log holds the same ids with the same content, of an earlier append; where is in found
--   conflict   the stream of its part `conflicts` is at the version `actuals`
--   id_taken   the event `taken` is in the log, with other content or in another append
-- An outcome other than applied has changed nothing.
--
-- A part is what one append has for one stream. The appends are judged one after the other, each on what
-- the ones before it in the group have made true. No event id comes twice in a group.
--
-- A stream that is begun by another append meanwhile is a race, which violates the key of the streams:
-- nothing is written, and the group is to be sent again.
--
-- A stream that another transaction holds is waited for, for p_patience at most: then the statement
-- fails with lock_not_available.
--
-- Plans are kept for as long as a connection lives, and not made anew for the lengths of the arrays, which
-- would take longer than to run them. One made while the tables were small would scan them whole, slower
-- with each event, until their statistics are renewed: so never a scan.
create or replace function {schema}.append(
    p_patience        integer,       -- ms; null for as long as the caller's transaction waits by itself
    p_streams         text[],        -- each once, sorted
    p_append_of       integer[],     -- a part: index of its append, from 1, rising
    p_stream_of       integer[],     -- a part: index of its stream, from 1
    p_expected        bigint[],      -- a part: -1 any version, 0 no stream, else the exact version
    p_counts          bigint[],      -- a part: how many events it has
    p_part_of         integer[],     -- an event: index of its part, from 1, rising
    p_ordinals        bigint[],      -- an event: its place in its part, from 1
    p_names           text[],        -- an event: its stream
    p_ids             uuid[],
    p_types           text[],
    p_schema_versions integer[],
    p_data            text[],
    p_metadata        text[],
    p_correlation_ids uuid[],
    p_causation_ids   uuid[],
    p_occurred_at     timestamptz[],
    out outcomes        text[],      -- an append
    out conflicts       integer[],   -- an append
    out actuals         bigint[],    -- an append
    out taken           uuid[],      -- an append
    out bases           bigint[],    -- a part: the version that it lies behind
    out positions       bigint[],    -- of the events that were written, in their order
    out found_positions bigint[],    -- an event, where the log held some of them
    out found_versions  bigint[]
)
language plpgsql
set enable_seqscan = off
set plan_cache_mode = force_generic_plan
as $$
declare
    v_appends  integer := p_append_of[cardinality(p_append_of)];
    v_held     text[];               -- the streams that are there
    v_versions bigint[];             -- a stream: where it is, moving on with each append
    v_new      boolean[];            -- a stream: whether it was not there
    v_same     boolean[];            -- an event: whether the log holds it as it is given
    v_first    integer;
    v_next     integer := 1;
    v_conflict integer;
    v_version  bigint;
    v_position bigint;
begin
    if p_patience is not null then
        perform set_config('lock_timeout', p_patience::text, true);
    end if;

    -- Before a position is drawn: while a projection changes inline, appends come one after the other. Whoever
    -- lets one change inline waits for those who found no row, since this locks the table as well. A transaction
    -- with an older snapshot may not see the rows: where there have ever been any, it shuts all others out.
    perform from {schema}.inline_projections i order by i.projection for update;
    if current_setting('transaction_isolation') <> 'read committed'
       and pg_relation_size('{schema}.inline_projections') > 0 then
        lock table {schema}.inline_projections in exclusive mode;
    end if;

    -- One event for one stream, the most common append, where nothing stands against it.
    if cardinality(p_ids) = 1 then
        if p_expected[1] > 0 then
            update {schema}.streams s
            set version = s.version + 1
            where s.stream = p_streams[1]
              and s.version = p_expected[1]
              and not exists (select from {schema}.events e where e.id = p_ids[1])
            returning s.version into v_version;
        else
            insert into {schema}.streams as s (stream, version)
            select p_streams[1], 1
            where not exists (select from {schema}.events e where e.id = p_ids[1])
            on conflict (stream) do update
            set version = s.version + 1
            where p_expected[1] = -1
            returning s.version into v_version;
        end if;
        if v_version is not null then
            insert into {schema}.events (stream, category, version, id, type, schema_version, data, metadata,
                                         correlation_id, causation_id, occurred_at)
            values (p_streams[1], split_part(p_streams[1], '-', 1), v_version, p_ids[1], p_types[1],
                    p_schema_versions[1], p_data[1]::json, p_metadata[1]::json, p_correlation_ids[1],
                    p_causation_ids[1], p_occurred_at[1])
            returning position into v_position;
            outcomes := array['applied'];
            bases := array[v_version - 1];
            positions := array[v_position];
            return;
        end if;
    end if;

    -- Rows of streams are taken in sorted order everywhere, and new ones come after those that are
    -- there: two groups cannot wait for each other.
    select array_agg(h.stream), array_agg(h.version)
    into v_held, v_versions
    from (select s.stream, s.version
          from {schema}.streams s
          where s.stream = any (p_streams)
          order by s.stream
          for no key update) h;
    if v_held is null then
        v_versions := array_fill(0::bigint, array[cardinality(p_streams)]);
        v_new := array_fill(true, array[cardinality(p_streams)]);
    elsif v_held = p_streams then
        v_new := array_fill(false, array[cardinality(p_streams)]);
    else
        select array_agg(coalesce(h.version, 0) order by s.index),
               array_agg(h.version is null order by s.index)
        into v_versions, v_new
        from unnest(p_streams) with ordinality as s (stream, index)
        left join unnest(v_held, v_versions) as h (stream, version) on h.stream = s.stream;
    end if;

    outcomes := array_fill(null::text, array[v_appends]);
    conflicts := array_fill(null::integer, array[v_appends]);
    actuals := array_fill(null::bigint, array[v_appends]);
    bases := array_fill(null::bigint, array[cardinality(p_stream_of)]);

    -- Before the versions: an append that is tried again finds its stream moved on by itself.
    if exists (select from {schema}.events e where e.id = any (p_ids)) then
        select array_agg(e.position order by g.index),
               array_agg(e.version order by g.index),
               array_agg(coalesce(
                   (e.stream, e.type, e.schema_version, e.data::text)
                       = (g.name, g.type, g.schema_version, g.data)
                   and e.metadata::text is not distinct from g.metadata
                   and e.correlation_id is not distinct from g.correlation_id
                   and e.causation_id is not distinct from g.causation_id
                   and e.occurred_at is not distinct from g.occurred_at, false) order by g.index)
        into found_positions, found_versions, v_same
        from unnest(p_names, p_ids, p_types, p_schema_versions, p_data, p_metadata, p_correlation_ids,
                    p_causation_ids, p_occurred_at)
             with ordinality
             as g (name, id, type, schema_version, data, metadata, correlation_id, causation_id,
                   occurred_at, index)
        left join {schema}.events e on e.id = g.id;

        with judged as (
            select p_append_of[g.part_of] as append,
                   bool_or(g.position is not null) as found,
                   bool_and(g.same)
                       and count(distinct (g.part_of, g.version - g.ordinal)) = count(distinct g.part_of)
                       as whole,
                   (array_agg(g.id order by g.index) filter (where g.position is not null))[1] as taken
            from unnest(p_part_of, p_ordinals, p_ids, found_positions, found_versions, v_same)
                 with ordinality
                 as g (part_of, ordinal, id, position, version, same, index)
            group by 1
        )
        select array_agg(case when j.found then case when j.whole then 'repeated' else 'id_taken' end end
                         order by j.append),
               array_agg(j.taken order by j.append)
        into outcomes, taken
        from judged j;
    end if;

    for v_append in 1 .. v_appends loop
        v_first := v_next;
        while p_append_of[v_next] = v_append loop
            v_next := v_next + 1;
        end loop;
        continue when outcomes[v_append] is not null;
        v_conflict := null;
        for v_part in v_first .. v_next - 1 loop
            if p_expected[v_part] >= 0 and p_expected[v_part] <> v_versions[p_stream_of[v_part]] then
                v_conflict := v_part;
                exit;
            end if;
        end loop;
        if v_conflict is not null then
            outcomes[v_append] := 'conflict';
            conflicts[v_append] := v_conflict;
            actuals[v_append] := v_versions[p_stream_of[v_conflict]];
            continue;
        end if;
        outcomes[v_append] := 'applied';
        for v_part in v_first .. v_next - 1 loop
            bases[v_part] := v_versions[p_stream_of[v_part]];
            v_versions[p_stream_of[v_part]] := bases[v_part] + p_counts[v_part];
        end loop;
    end loop;

    if 'applied' = any (outcomes) then
        if true = any (v_new) then
            insert into {schema}.streams (stream, version)
            select s.stream, s.version
            from unnest(p_streams, v_versions, v_new) as s (stream, version, new)
            where s.new and s.version > 0
            order by s.stream collate "C";
        end if;
        if false = any (v_new) then
            update {schema}.streams s
            set version = g.version
            from unnest(p_streams, v_versions, v_new) as g (stream, version, new)
            where s.stream = g.stream and not g.new and s.version <> g.version;
        end if;

        -- The insert draws the positions itself, inside the statement that locks the table: the ceiling
        -- depends on it. Never call nextval beforehand.
        with inserted as (
            insert into {schema}.events (stream, category, version, id, type, schema_version, data, metadata,
                                         correlation_id, causation_id, occurred_at)
            select g.name, split_part(g.name, '-', 1), bases[g.part_of] + g.ordinal, g.id, g.type,
                   g.schema_version, g.data::json, g.metadata::json, g.correlation_id, g.causation_id,
                   g.occurred_at
            from unnest(p_part_of, p_ordinals, p_names, p_ids, p_types, p_schema_versions, p_data,
                        p_metadata, p_correlation_ids, p_causation_ids, p_occurred_at)
                 with ordinality
                 as g (part_of, ordinal, name, id, type, schema_version, data, metadata, correlation_id,
                       causation_id, occurred_at, index)
            where bases[g.part_of] is not null
            order by g.index
            returning position
        )
        select array_agg(i.position order by i.position)
        into positions
        from inserted i;
    end if;
end
$$;

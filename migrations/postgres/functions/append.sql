-- Appends events to one or many streams, all or nothing, and reports the outcome as a row:
--   applied    positions and versions of the events, in the order given
--   repeated   the same, of an earlier append with the same ids and the same content
--   conflict   stream_index and its actual version
--   id_taken   event_id is in the log already, with other content or in another append
-- An outcome other than applied has changed nothing.
--
-- Plans are kept for as long as a connection lives. One made while the tables were small would scan
-- them whole, slower with each event, until their statistics are renewed: so never a scan.
create or replace function {schema}.append(
    p_streams         text[],
    p_expected        bigint[],      -- a stream: -1 any version, 0 no stream, else the exact version
    p_counts          bigint[],      -- a stream: how many events it gets
    p_stream_of       integer[],     -- an event: index of its stream, from 1
    p_ordinals        bigint[],      -- an event: its place among those of its stream, from 1
    p_ids             uuid[],
    p_types           text[],
    p_schema_versions integer[],
    p_data            text[],
    p_metadata        text[],
    p_correlation_ids uuid[],
    p_causation_ids   uuid[],
    p_occurred_at     timestamptz[],
    out outcome       text,
    out positions     bigint[],
    out versions      bigint[],
    out stream_index  integer,
    out actual        bigint,
    out event_id      uuid
)
language plpgsql
set enable_seqscan = off
as $$
declare
    v_current bigint[];
begin
    -- Rows of streams are taken in sorted order everywhere: two appends cannot wait for each other.
    insert into {schema}.streams (stream, category, version)
    select s.stream, split_part(s.stream, '-', 1), 0
    from unnest(p_streams, p_expected) as s (stream, expected)
    where s.expected <= 0
    order by s.stream collate "C"
    on conflict (stream) do nothing;

    with held as materialized (
        select h.stream, h.version
        from {schema}.streams h
        where h.stream = any (p_streams)
        order by h.stream
        for no key update
    )
    select array_agg(coalesce(held.version, 0) order by s.index)
    into v_current
    from unnest(p_streams) with ordinality as s (stream, index)
    left join held on held.stream = s.stream;

    -- Before the versions: an append that is tried again finds its stream moved on by itself.
    if exists (select from {schema}.events e where e.id = any (p_ids)) then
        with given as (
            select *
            from unnest(p_stream_of, p_ordinals, p_ids, p_types, p_schema_versions, p_data, p_metadata,
                        p_correlation_ids, p_causation_ids, p_occurred_at)
                 with ordinality
                 as g (stream_of, ordinal, id, type, schema_version, data, metadata,
                       correlation_id, causation_id, occurred_at, index)
        ), compared as (
            select g.index, e.position, e.version,
                   e.version - g.ordinal as behind,
                   g.stream_of,
                   (e.stream, e.type, e.schema_version, e.data::text) = (p_streams[g.stream_of], g.type, g.schema_version, g.data)
                   and e.metadata::text is not distinct from g.metadata
                   and e.correlation_id is not distinct from g.correlation_id
                   and e.causation_id is not distinct from g.causation_id
                   and e.occurred_at is not distinct from g.occurred_at as same
            from given g
            left join {schema}.events e on e.id = g.id
        )
        select array_agg(c.position order by c.index),
               array_agg(c.version order by c.index)
        into positions, versions
        from compared c
        having bool_and(coalesce(c.same, false))
           and count(distinct (c.stream_of, c.behind)) = cardinality(p_streams);
        if found then
            outcome := 'repeated';
        else
            outcome := 'id_taken';
            select e.id into event_id
            from unnest(p_ids) with ordinality as g (id, index)
            join {schema}.events e on e.id = g.id
            order by g.index
            limit 1;
        end if;
        delete from {schema}.streams s where s.stream = any (p_streams) and s.version = 0;
        return;
    end if;

    select s.index
    into stream_index
    from unnest(p_expected, v_current) with ordinality as s (expected, version, index)
    where s.expected >= 0 and s.expected <> s.version
    order by s.index
    limit 1;
    if found then
        outcome := 'conflict';
        actual := v_current[stream_index];
        delete from {schema}.streams s where s.stream = any (p_streams) and s.version = 0;
        return;
    end if;

    -- The insert draws the positions itself, inside the statement that locks the table: the ceiling
    -- depends on it. Never call nextval beforehand.
    with inserted as (
        insert into {schema}.events (stream, category, version, id, type, schema_version, data, metadata,
                                     correlation_id, causation_id, occurred_at)
        select p_streams[g.stream_of], split_part(p_streams[g.stream_of], '-', 1),
               v_current[g.stream_of] + g.ordinal, g.id, g.type, g.schema_version, g.data::json, g.metadata::json,
               g.correlation_id, g.causation_id, g.occurred_at
        from unnest(p_stream_of, p_ordinals, p_ids, p_types, p_schema_versions, p_data, p_metadata,
                    p_correlation_ids, p_causation_ids, p_occurred_at)
             with ordinality
             as g (stream_of, ordinal, id, type, schema_version, data, metadata,
                   correlation_id, causation_id, occurred_at, index)
        order by g.index
        returning position, version
    )
    select array_agg(i.position order by i.position), array_agg(i.version order by i.position)
    into positions, versions
    from inserted i;

    update {schema}.streams s
    set version = s.version + g.count
    from unnest(p_streams, p_counts) as g (stream, count)
    where s.stream = g.stream;

    outcome := 'applied';
end
$$;

-- The schema that the migrations result in. Not to be edited, and never run: it is written by
--     HEADWATER_BLESS=1 cargo test --workspace --test schema_dump

create table headwater.checkpoints (
    projection text collate "C" not null,
    generation integer not null,
    state text not null,
    "position" bigint not null default 0,
    event_id uuid,
    event_position bigint not null default 0,
    epoch bigint not null default 0,
    fingerprint text not null,
    failed_position bigint,
    failed_event_id uuid,
    error text,
    updated_at timestamp with time zone not null default clock_timestamp(),
    constraint checkpoints_pkey PRIMARY KEY (projection, generation),
    constraint checkpoints_state_check CHECK ((state = ANY (ARRAY['building'::text, 'live'::text, 'retired'::text])))
) with (fillfactor=50);

create table headwater.events (
    "position" bigint not null generated always as identity (start 1 increment 1 cache 1),
    stream text collate "C" not null,
    category text collate "C" not null,
    version bigint not null,
    id uuid not null,
    type text collate "C" not null,
    schema_version integer not null,
    data json not null,
    metadata json,
    correlation_id uuid,
    causation_id uuid,
    occurred_at timestamp with time zone,
    recorded_at timestamp with time zone not null default clock_timestamp(),
    constraint events_id UNIQUE (id),
    constraint events_pkey PRIMARY KEY ("position"),
    constraint events_stream_version UNIQUE (stream, version)
);

create table headwater.migrations (
    number integer not null,
    name text not null,
    applied_at timestamp with time zone not null default clock_timestamp(),
    constraint migrations_pkey PRIMARY KEY (number)
);

create table headwater.settled (
    only_row boolean not null default true,
    "position" bigint not null,
    constraint settled_only_row_check CHECK (only_row),
    constraint settled_pkey PRIMARY KEY (only_row)
) with (fillfactor=50);

create table headwater.streams (
    stream text collate "C" not null,
    category text collate "C" not null,
    version bigint not null,
    constraint streams_pkey PRIMARY KEY (stream)
) with (fillfactor=80);

CREATE UNIQUE INDEX checkpoints_one_building ON headwater.checkpoints USING btree (projection) WHERE (state = 'building'::text);

CREATE UNIQUE INDEX checkpoints_one_live ON headwater.checkpoints USING btree (projection) WHERE (state = 'live'::text);

CREATE INDEX events_category ON headwater.events USING btree (category, "position");

CREATE INDEX events_correlation ON headwater.events USING btree (correlation_id, "position") WHERE (correlation_id IS NOT NULL);

CREATE INDEX events_recorded_at ON headwater.events USING brin (recorded_at);

CREATE INDEX streams_category ON headwater.streams USING btree (category, stream);

CREATE TRIGGER append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON headwater.events FOR EACH STATEMENT EXECUTE FUNCTION headwater.refuse_change();
alter table headwater.events enable always trigger append_only;

-- columns: projection text, generation integer, state text, "position" bigint, failed boolean, failed_position bigint, failed_event_id uuid, error text, updated_at timestamp with time zone
create view headwater.all_checkpoints as
 SELECT projection,
    generation,
    state,
    "position",
    (error IS NOT NULL) AS failed,
    failed_position,
    failed_event_id,
    error,
    updated_at
   FROM headwater.checkpoints;

-- columns: "position" bigint, stream text, category text, version bigint, id uuid, type text, schema_version integer, data json, metadata json, correlation_id uuid, causation_id uuid, occurred_at timestamp with time zone, recorded_at timestamp with time zone
create view headwater.all_events as
 SELECT "position",
    stream,
    category,
    version,
    id,
    type,
    schema_version,
    data,
    metadata,
    correlation_id,
    causation_id,
    COALESCE(occurred_at, recorded_at) AS occurred_at,
    recorded_at
   FROM headwater.events;

CREATE OR REPLACE FUNCTION headwater.append(p_streams text[], p_expected bigint[], p_counts bigint[], p_stream_of integer[], p_ordinals bigint[], p_ids uuid[], p_types text[], p_schema_versions integer[], p_data text[], p_metadata text[], p_correlation_ids uuid[], p_causation_ids uuid[], p_occurred_at timestamp with time zone[], OUT outcome text, OUT positions bigint[], OUT versions bigint[], OUT stream_index integer, OUT actual bigint, OUT event_id uuid)
 RETURNS record
 LANGUAGE plpgsql
 SET enable_seqscan TO 'off'
AS $function$
declare
    v_current bigint[];
begin
    -- Rows of streams are taken in sorted order everywhere: two appends cannot wait for each other.
    insert into "headwater".streams (stream, category, version)
    select s.stream, split_part(s.stream, '-', 1), 0
    from unnest(p_streams, p_expected) as s (stream, expected)
    where s.expected <= 0
    order by s.stream collate "C"
    on conflict (stream) do nothing;

    with held as materialized (
        select h.stream, h.version
        from "headwater".streams h
        where h.stream = any (p_streams)
        order by h.stream
        for no key update
    )
    select array_agg(coalesce(held.version, 0) order by s.index)
    into v_current
    from unnest(p_streams) with ordinality as s (stream, index)
    left join held on held.stream = s.stream;

    -- Before the versions: an append that is tried again finds its stream moved on by itself.
    if exists (select from "headwater".events e where e.id = any (p_ids)) then
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
            left join "headwater".events e on e.id = g.id
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
            join "headwater".events e on e.id = g.id
            order by g.index
            limit 1;
        end if;
        delete from "headwater".streams s where s.stream = any (p_streams) and s.version = 0;
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
        delete from "headwater".streams s where s.stream = any (p_streams) and s.version = 0;
        return;
    end if;

    -- The insert draws the positions itself, inside the statement that locks the table: the ceiling
    -- depends on it. Never call nextval beforehand.
    with inserted as (
        insert into "headwater".events (stream, category, version, id, type, schema_version, data, metadata,
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

    update "headwater".streams s
    set version = s.version + g.count
    from unnest(p_streams, p_counts) as g (stream, count)
    where s.stream = g.stream;

    outcome := 'applied';
end
$function$;

CREATE OR REPLACE FUNCTION headwater.ceiling(p_settled bigint, p_candidate bigint, p_writers text[], OUT settled bigint, OUT candidate bigint, OUT writers text[])
 RETURNS record
 LANGUAGE plpgsql
AS $function$
declare
    v_highest bigint;
    v_writers text[];
    v_left    text[];
begin
    -- A standby does not show the locks of the primary's writers.
    if pg_is_in_recovery() then
        raise exception 'a standby cannot tell which events are settled: read the log on the primary'
            using errcode = 'read_only_sql_transaction';
    end if;

    select coalesce(max(e.position), 0) into v_highest from "headwater".events e;

    select coalesce(array_agg(l.virtualtransaction), '{}')
    into v_writers
    from pg_locks l
    where l.locktype = 'relation'
      and l.database = (select d.oid from pg_database d where d.datname = current_database())
      and l.relation = '"headwater".events'::regclass
      and l.mode = 'RowExclusiveLock'
      and l.granted;

    -- What was learnt from a server that is gone, and had more events than this one.
    if p_candidate > v_highest then
        p_candidate := null;
    end if;
    if p_settled > v_highest then
        p_settled := null;
    end if;
    if p_settled is null then
        select s.position into p_settled from "headwater".settled s;
    end if;

    -- A prepared transaction has another name after a restart of the server: -1 and its xid.
    select coalesce(array_agg(w), '{}')
    into v_left
    from unnest(v_writers) w
    where w = any (p_writers) or w like '-1/%';

    if v_writers = '{}' then
        settled := v_highest;
    elsif p_candidate is null or v_left = '{}' then
        settled := p_candidate;
        candidate := v_highest;
        writers := v_writers;
    else
        candidate := p_candidate;
        writers := v_left;
    end if;
    settled := greatest(settled, p_settled);
end
$function$;

CREATE OR REPLACE FUNCTION headwater.publish_settled(p_position bigint)
 RETURNS void
 LANGUAGE plpgsql
AS $function$
begin
    perform set_config('synchronous_commit', 'off', true), set_config('lock_timeout', '100ms', true);
    update "headwater".settled s set position = p_position
    where s.position < p_position
      -- Not what was learnt from a server before this one, which had more.
      and p_position <= (select max(e.position) from "headwater".events e);
end
$function$;

CREATE OR REPLACE FUNCTION headwater.refuse_change()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
begin
    raise exception 'events are append-only: % is refused', lower(tg_op)
        using errcode = 'insufficient_privilege';
end
$function$;

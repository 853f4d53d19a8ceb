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
    incarnation uuid not null,
    paused boolean not null default false,
    held_back boolean not null default false,
    rebuild_asked uuid,
    error_code text,
    skips bigint not null default 0,
    constraint checkpoints_pkey PRIMARY KEY (projection, generation),
    constraint checkpoints_state_check CHECK ((state = ANY (ARRAY['building'::text, 'live'::text, 'retired'::text, 'verifying'::text])))
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

create table headwater.identity (
    only_row boolean not null default true,
    incarnation uuid not null,
    constraint identity_only_row_check CHECK (only_row),
    constraint identity_pkey PRIMARY KEY (only_row)
);

create table headwater.inline_projections (
    projection text collate "C" not null,
    constraint inline_projections_pkey PRIMARY KEY (projection)
);

create table headwater.instances (
    id uuid not null,
    name text not null,
    process text not null,
    runs uuid[] not null,
    until timestamp with time zone not null,
    constraint instances_pkey PRIMARY KEY (id)
) with (fillfactor=50);

create table headwater.leases (
    projection text collate "C" not null,
    work text not null,
    owner uuid not null,
    until timestamp with time zone not null,
    constraint leases_pkey PRIMARY KEY (projection, work),
    constraint leases_work_check CHECK ((work = ANY (ARRAY['building'::text, 'live'::text, 'verifying'::text])))
) with (fillfactor=50);

create table headwater.migrations (
    number integer not null,
    name text not null,
    applied_at timestamp with time zone not null default clock_timestamp(),
    constraint migrations_pkey PRIMARY KEY (number)
);

create table headwater.operations (
    id uuid not null,
    action text not null,
    projection text collate "C" not null,
    generation integer,
    detail text,
    done_by text not null,
    done_at timestamp with time zone not null default clock_timestamp(),
    constraint operations_pkey PRIMARY KEY (id)
);

create table headwater.parked (
    projection text collate "C" not null,
    generation integer not null,
    "position" bigint not null,
    event_id uuid not null,
    stream text collate "C" not null,
    type text collate "C" not null,
    bytes bigint not null,
    attempts integer not null,
    error text not null,
    retry boolean not null,
    parked_at timestamp with time zone not null,
    error_code text not null default 'unknown'::text,
    constraint parked_pkey PRIMARY KEY (projection, generation, "position"),
    constraint parked_projection_generation_fkey FOREIGN KEY (projection, generation) REFERENCES headwater.checkpoints(projection, generation) ON DELETE CASCADE
);

create table headwater.settled (
    only_row boolean not null default true,
    "position" bigint not null,
    constraint settled_only_row_check CHECK (only_row),
    constraint settled_pkey PRIMARY KEY (only_row)
) with (fillfactor=50);

create table headwater.snapshots (
    stream text collate "C" not null,
    version bigint not null,
    "position" bigint not null,
    event_id uuid not null,
    fingerprint uuid not null,
    state text not null,
    recorded_at timestamp with time zone not null default now(),
    constraint snapshots_pkey PRIMARY KEY (stream)
);

create table headwater.streams (
    stream text collate "C" not null,
    version bigint not null,
    constraint streams_pkey PRIMARY KEY (stream)
) with (fillfactor=80);

create table headwater.subscriptions (
    name text collate "C" not null,
    id uuid not null default gen_random_uuid(),
    "position" bigint not null,
    event_id uuid,
    event_position bigint not null,
    incarnation uuid not null,
    updated_at timestamp with time zone not null default clock_timestamp(),
    constraint subscriptions_pkey PRIMARY KEY (name)
) with (fillfactor=50);

CREATE UNIQUE INDEX checkpoints_one_building ON headwater.checkpoints USING btree (projection) WHERE (state = 'building'::text);

CREATE UNIQUE INDEX checkpoints_one_live ON headwater.checkpoints USING btree (projection) WHERE (state = 'live'::text);

CREATE UNIQUE INDEX checkpoints_one_verifying ON headwater.checkpoints USING btree (projection) WHERE (state = 'verifying'::text);

CREATE INDEX events_category ON headwater.events USING btree (category, "position");

CREATE INDEX events_correlation ON headwater.events USING btree (correlation_id, "position") WHERE (correlation_id IS NOT NULL);

CREATE INDEX events_recorded_at ON headwater.events USING brin (recorded_at);

CREATE TRIGGER append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON headwater.events FOR EACH STATEMENT EXECUTE FUNCTION headwater.refuse_change();
alter table headwater.events enable always trigger append_only;

-- columns: projection text, generation integer, state text, "position" bigint, failed boolean, failed_position bigint, failed_event_id uuid, error text, updated_at timestamp with time zone, paused boolean, held_back boolean, error_code text, skips bigint
create view headwater.all_checkpoints as
 SELECT projection,
    generation,
    state,
    "position",
    (error IS NOT NULL) AS failed,
    failed_position,
    failed_event_id,
    error,
    updated_at,
    paused,
    held_back,
    error_code,
    skips
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

-- columns: projection text, work text, owner uuid, owner_name text, until timestamp with time zone
create view headwater.all_leases as
 SELECT projection,
    work,
    owner,
    name AS owner_name,
    until
   FROM (headwater.leases
     LEFT JOIN headwater.instances ON ((id = owner)));

-- columns: id uuid, action text, projection text, generation integer, detail text, done_by text, done_at timestamp with time zone
create view headwater.all_operations as
 SELECT id,
    action,
    projection,
    generation,
    detail,
    done_by,
    done_at
   FROM headwater.operations;

-- columns: projection text, generation integer, "position" bigint, event_id uuid, stream text, type text, bytes bigint, attempts integer, error text, retry boolean, parked_at timestamp with time zone, error_code text
create view headwater.all_parked as
 SELECT projection,
    generation,
    "position",
    event_id,
    stream,
    type,
    bytes,
    attempts,
    error,
    retry,
    parked_at,
    error_code
   FROM headwater.parked;

-- columns: name text, "position" bigint, updated_at timestamp with time zone
create view headwater.all_subscriptions as
 SELECT name,
    "position",
    updated_at
   FROM headwater.subscriptions;

CREATE OR REPLACE FUNCTION headwater.append(p_patience integer, p_streams text[], p_append_of integer[], p_stream_of integer[], p_expected bigint[], p_counts bigint[], p_part_of integer[], p_ordinals bigint[], p_names text[], p_ids uuid[], p_types text[], p_schema_versions integer[], p_data text[], p_metadata text[], p_correlation_ids uuid[], p_causation_ids uuid[], p_occurred_at timestamp with time zone[], OUT outcomes text[], OUT conflicts integer[], OUT actuals bigint[], OUT taken uuid[], OUT bases bigint[], OUT positions bigint[], OUT found_positions bigint[], OUT found_versions bigint[])
 RETURNS record
 LANGUAGE plpgsql
 SET enable_seqscan TO 'off'
 SET plan_cache_mode TO 'force_generic_plan'
AS $function$
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
    perform from "headwater".inline_projections i order by i.projection for update;
    if current_setting('transaction_isolation') <> 'read committed'
       and pg_relation_size('"headwater".inline_projections') > 0 then
        lock table "headwater".inline_projections in exclusive mode;
    end if;

    -- One event for one stream, the most common append, where nothing stands against it.
    if cardinality(p_ids) = 1 then
        if p_expected[1] > 0 then
            update "headwater".streams s
            set version = s.version + 1
            where s.stream = p_streams[1]
              and s.version = p_expected[1]
              and not exists (select from "headwater".events e where e.id = p_ids[1])
            returning s.version into v_version;
        else
            insert into "headwater".streams as s (stream, version)
            select p_streams[1], 1
            where not exists (select from "headwater".events e where e.id = p_ids[1])
            on conflict (stream) do update
            set version = s.version + 1
            where p_expected[1] = -1
            returning s.version into v_version;
        end if;
        if v_version is not null then
            insert into "headwater".events (stream, category, version, id, type, schema_version, data, metadata,
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
          from "headwater".streams s
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
    if exists (select from "headwater".events e where e.id = any (p_ids)) then
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
        left join "headwater".events e on e.id = g.id;

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
            insert into "headwater".streams (stream, version)
            select s.stream, s.version
            from unnest(p_streams, v_versions, v_new) as s (stream, version, new)
            where s.new and s.version > 0
            order by s.stream collate "C";
        end if;
        if false = any (v_new) then
            update "headwater".streams s
            set version = g.version
            from unnest(p_streams, v_versions, v_new) as g (stream, version, new)
            where s.stream = g.stream and not g.new and s.version <> g.version;
        end if;

        -- The insert draws the positions itself, inside the statement that locks the table: the ceiling
        -- depends on it. Never call nextval beforehand.
        with inserted as (
            insert into "headwater".events (stream, category, version, id, type, schema_version, data, metadata,
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

CREATE OR REPLACE FUNCTION headwater.held_streams(p_streams text[])
 RETURNS SETOF text
 LANGUAGE plpgsql
AS $function$
declare
    v_stream text;
begin
    perform set_config('lock_timeout', '1', true);
    foreach v_stream in array p_streams loop
        begin
            insert into "headwater".streams (stream, version)
            values (v_stream, 0)
            on conflict (stream) do nothing;
            perform from "headwater".streams s where s.stream = v_stream for no key update;
            raise exception using errcode = 'HWFRE';
        exception
            when lock_not_available then
                return next v_stream;
            when sqlstate 'HWFRE' then
                null;
        end;
    end loop;
end
$function$;

CREATE OR REPLACE FUNCTION headwater.newest(p_settled bigint, p_candidate bigint, p_writers text[], p_after bigint)
 RETURNS TABLE("position" bigint, stream text, version bigint, id uuid, type text, schema_version integer, data json, metadata json, correlation_id uuid, causation_id uuid, occurred_at timestamp with time zone, recorded_at timestamp with time zone, settled bigint, candidate bigint, writers text[])
 LANGUAGE plpgsql
 SET enable_seqscan TO 'off'
 SET plan_cache_mode TO 'force_generic_plan'
AS $function$
begin
    select c.settled, c.candidate, c.writers
    into settled, candidate, writers
    from "headwater".ceiling(p_settled, p_candidate, p_writers) c;
    return next;
    if p_after < settled then
        return query
        with newest as materialized (
            select e.position, e.stream, e.version, e.id, e.type, e.schema_version, e.data, e.metadata,
                   e.correlation_id, e.causation_id, e.occurred_at, e.recorded_at
            from "headwater".events e
            where e.position > p_after and e.position <= settled
            order by e.position
            limit 257
        )
        select n.*, null::bigint, null::bigint, null::text[]
        from newest n
        where (select count(*) <= 256 and sum(octet_length(m.data::text)) <= 1048576 from newest m)
        order by n.position;
    end if;
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

-- One look at the readable ceiling: the way in which CREATE INDEX CONCURRENTLY waits for older writers.
--
-- Everything at or below the highest visible position is settled as soon as every transaction that
-- held the insert's table lock at a moment after it was read is gone: later ones draw above it. The
-- highest *visible* position and not the sequence's last value: a position drawn by an append that
-- was not committed may be drawn again after a crash of the server, one that was committed never is.
--
-- Two statements, each with a snapshot of its own (volatile, READ COMMITTED), in this order.
-- The caller hands in what earlier looks found: what is settled, and what they left open, which is a
-- candidate and the writers it waits for.
create or replace function {schema}.ceiling(
    p_settled    bigint,        -- null for the first look of a process
    p_candidate  bigint,
    p_writers    text[],
    out settled   bigint,
    out candidate bigint,       -- null where nothing is open
    out writers   text[]
)
language plpgsql volatile as $$
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

    select coalesce(max(e.position), 0) into v_highest from {schema}.events e;

    select coalesce(array_agg(l.virtualtransaction), '{}')
    into v_writers
    from pg_locks l
    where l.locktype = 'relation'
      and l.database = (select d.oid from pg_database d where d.datname = current_database())
      and l.relation = '{schema}.events'::regclass
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
        select s.position into p_settled from {schema}.settled s;
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
$$;

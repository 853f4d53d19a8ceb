-- The readable ceiling, and the events that are new below it, in one round trip.
--
-- The first row holds the ceiling, and the others an event each: all above p_after, in their order. Where they
-- are many, or large, there are none: those are for a reading of their own.
--
-- Volatile, so that the events are read in a snapshot that was taken behind the look at the ceiling.
create or replace function {schema}.newest(
    p_settled   bigint,         -- as for the function ceiling
    p_candidate bigint,
    p_writers   text[],
    p_after     bigint          -- null for the ceiling alone
)
returns table (
    "position"     bigint,
    stream         text,
    version        bigint,
    id             uuid,
    type           text,
    schema_version integer,
    data           json,
    metadata       json,
    correlation_id uuid,
    causation_id   uuid,
    occurred_at    timestamptz,
    recorded_at    timestamptz,
    settled        bigint,
    candidate      bigint,
    writers        text[]
)
language plpgsql volatile
set enable_seqscan = off
set plan_cache_mode = force_generic_plan
as $$
begin
    select c.settled, c.candidate, c.writers
    into settled, candidate, writers
    from {schema}.ceiling(p_settled, p_candidate, p_writers) c;
    return next;
    if p_after < settled then
        return query
        with newest as materialized (
            select e.position, e.stream, e.version, e.id, e.type, e.schema_version, e.data, e.metadata,
                   e.correlation_id, e.causation_id, e.occurred_at, e.recorded_at
            from {schema}.events e
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
$$;

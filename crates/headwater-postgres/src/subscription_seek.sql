with moved as (
    update {schema}.subscriptions
    set position = $2,
        event_id = newest.id,
        event_position = coalesce(newest.position, 0),
        incarnation = identity.incarnation,
        id = gen_random_uuid(),
        updated_at = clock_timestamp()
    from {schema}.identity
    left join (
        select id, position
        from {schema}.events
        where position <= $2
        order by position desc
        limit 1
    ) newest on true
    where name = $1
    returning name
)
insert into {schema}.operations (id, action, projection, detail, done_by)
select $3, $4, name, $5, $6
from moved

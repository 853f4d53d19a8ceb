with was as (
    select name, position
    from {schema}.subscriptions
    where name = $1
    for update
), moved as (
    update {schema}.subscriptions
    set position = $2,
        event_id = newest.id,
        event_position = coalesce(newest.position, 0),
        incarnation = identity.incarnation,
        id = gen_random_uuid(),
        updated_at = clock_timestamp()
    from was
    cross join {schema}.identity
    left join (
        select id, position
        from {schema}.events
        where position <= $2
        order by position desc
        limit 1
    ) newest on true
    where subscriptions.name = was.name
    returning was.name, was.position
)
insert into {schema}.operations (id, action, projection, detail, done_by)
select $3, $4, name, 'from position ' || position || ' to ' || $2::bigint, $5
from moved

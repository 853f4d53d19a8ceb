insert into {schema}.subscriptions (name, position, event_id, event_position, incarnation)
select $1, $2, newest.id, coalesce(newest.position, 0), incarnation
from {schema}.identity
left join (
    select id, position
    from {schema}.events
    where position <= $2
    order by position desc
    limit 1
) newest on true
on conflict (name) do nothing

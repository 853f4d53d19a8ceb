insert into subscriptions (name, position, event_id, event_position, incarnation, updated_at)
select $1, $2, newest.id, coalesce(newest.position, 0), incarnation, $3
from identity
left join (
    select id, position
    from events
    where position <= $2
    order by position desc
    limit 1
) as newest on true
where true
on conflict (name) do nothing
returning name

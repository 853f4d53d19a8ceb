update subscriptions
set position = $2,
    event_id = newest.id,
    event_position = coalesce(newest.position, 0),
    incarnation = identity.incarnation,
    id = randomblob(16),
    updated_at = $3
from identity
left join (
    select id, position
    from events
    where position <= $2
    order by position desc
    limit 1
) as newest on true
where name = $1

with removed as (
    delete from {schema}.subscriptions
    where name = $1
    returning name, position
)
insert into {schema}.operations (id, action, projection, detail, done_by)
select $2, $3, name, 'from position ' || position, $4
from removed

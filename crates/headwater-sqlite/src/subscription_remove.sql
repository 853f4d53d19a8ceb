delete from subscriptions
where name = $1
returning name

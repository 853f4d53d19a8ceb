delete from instances
where id <> $1 and until < $2

insert into operations (id, action, projection, generation, detail, done_by, done_at)
values ($1, $2, $3, $4, $5, $6, $7)

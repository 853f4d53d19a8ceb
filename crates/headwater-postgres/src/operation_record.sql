insert into {schema}.operations (id, action, projection, generation, detail, done_by)
values ($1, $2, $3, $4, $5, $6)

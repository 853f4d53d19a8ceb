insert into {schema}.migrations (number, name) values ($1, $2)

select * from {schema}.newest($1, $2, $3, $4)

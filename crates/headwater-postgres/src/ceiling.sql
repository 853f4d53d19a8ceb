select position, candidate, writers from {schema}.ceiling($1, $2)

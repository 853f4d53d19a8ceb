select settled, candidate, writers from {schema}.ceiling($1, $2, $3)

lock table {schema}.inline_projections in exclusive mode

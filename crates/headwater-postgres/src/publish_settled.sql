select {schema}.publish_settled($1)

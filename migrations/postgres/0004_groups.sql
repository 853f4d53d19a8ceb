-- Groups of appends: the function `append` takes many at once. Its place is taken by one with another
-- signature.

drop function if exists {schema}.append(
    text[], bigint[], bigint[], integer[], bigint[], uuid[], text[], integer[], text[], text[], uuid[], uuid[], timestamptz[]
);

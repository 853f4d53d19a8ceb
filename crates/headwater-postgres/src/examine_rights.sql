select r.name, r.privilege, has_table_privilege('{schema}.' || r.name, r.privilege) as held
from (values ('events', 'select'), ('streams', 'select'), ('checkpoints', 'select'), ('settled', 'select'),
             ('snapshots', 'select'), ('identity', 'select'), ('leases', 'select'), ('instances', 'select'),
             ('parked', 'select'), ('inline_projections', 'select'),
             ('events', 'insert'), ('streams', 'insert'), ('streams', 'update'),
             ('inline_projections', 'update'),
             ('settled', 'update'),
             ('snapshots', 'insert'), ('snapshots', 'update'),
             ('checkpoints', 'insert'), ('checkpoints', 'update'), ('checkpoints', 'delete'),
             ('leases', 'insert'), ('leases', 'update'), ('leases', 'delete'),
             ('instances', 'insert'), ('instances', 'update'), ('instances', 'delete'),
             ('inline_projections', 'insert'), ('inline_projections', 'delete'),
             ('parked', 'insert'), ('parked', 'update'), ('parked', 'delete'),
             ('operations', 'insert')) as r (name, privilege)

DELETE FROM sojourn.audit WHERE tenant = %(tenant)s AND seq <= %(seq)s

"""The only package that spells a Redis key (its Lua twin is ``lua/include/keys.lua``; a test holds them together).

============================================================  ======  ==========================================
key                                                           type    holds
============================================================  ======  ==========================================
``sojourn:meta``                                              hash    ``layout``, ``partitions``
``sojourn:tenants``                                           set     tenants that ever created a session
``sojourn:isolated``                                          hash    tenants' own partitions; ``/last``: the top one
``sojourn:partition:<tenant>``                                string  its own partition, for a client confined to it
``sojourn:tenants:changed``                                   set     tenants of which the archive wants a new copy
``sojourn:tenants:copied``                                    set     ``<run>/<tenant>``: those of which a run makes one
``sojourn:archive``                                           hash    how the last archive run ended; rows and runs
``sojourn:/noted:<prefix>``                                   hash    what a deployment's workers did, and when last
``sojourn:rehydrating``                                       string  how far filling Redis from the archive came
``sojourn:checked``                                           string  the server's run that was held against the archive
``sojourn:clients``                                           zset    what processes say of their settings, by when
``sojourn:{NN}:<tenant>:session:<id>``                        hash    the record
``sojourn:{NN}:<tenant>:lease:<id>``                          string  ``0``; its expiry is the trigger
``sojourn:{NN}:<tenant>:log:<id>:<name>``                     list    append-only entries, JSON
``sojourn:{NN}:<tenant>:token:<id>``                          hash    a session's tokens by the hashes of their texts
``sojourn:{NN}:<tenant>:tokens:<id>``                         zset    hashes of those in force by when each is over
``sojourn:{NN}:<tenant>:families:<id>``                       zset    their families by the number of their tokens
``sojourn:{NN}:<tenant>:kinds``                               set     kinds that the tenant has used
``sojourn:{NN}:<tenant>:limits``                              hash    the tenant's limits by name; ``moved``, ``closed``
``sojourn:{NN}:<tenant>:live``                                zset    of a tenant with limits: live ids by last use
``sojourn:{NN}:<tenant>:live:<owner>``                        zset    the same for one owner
``sojourn:{NN}:<tenant>:places``                              hash    their bytes and owners by id; ``/bytes``: the sum
``sojourn:{NN}:<tenant>:rate:<rate>[:<owner>]``               string  when that bucket will be full again
``sojourn:{NN}:<tenant>:told:<limit>``                        string  there for a minute after a refusal was told
``sojourn:{NN}:<tenant>:stats``                               hash    counts of its sessions; see ``counts.py``
``sojourn:{NN}:<tenant>:calls``                               hash    calls of its clients that tell them, likewise
``sojourn:{NN}:<tenant>:index:status:<kind>:<status>``        zset    ids by creation time
``sojourn:{NN}:<tenant>:index:<field>:<value>``               zset    ids by creation time
``sojourn:{NN}:deadlines``                                    zset    ``<tenant>/<id>`` by deadline
``sojourn:{NN}:dirty``                                        zset    ``<tenant>/<id>`` by first unarchived change
``sojourn:{NN}:removals``                                     zset    ``<tenant>/<id>`` by the time to remove it
``sojourn:{NN}:operations``                                   zset    ids of recent writes, by time
``sojourn:{NN}:events``                                       stream  the outbox
``sojourn:{NN}:lost``                                         set     ``<tenant>/<id>`` of records that vanished
``sojourn:{NN}:counts``                                       hash    how often something went wrong, by what
``sojourn:{NN}:/ledger:<hook>``                               zset    events a hook is done with, by time
``sojourn:{NN}:/running:<hook>:<event>``                      string  the job in which the hook has the event in hand
``sojourn:{NN}:/tries:<hook>:<event>``                        string  how often the hook failed on the event
``sojourn:{NN}:/batches``                                     hash    how many batches the archive took, the last when
``sojourn:{NN}:/sweeps``                                      hash    how many sweeps claimed, or failed, the last when
``sojourn:{NN}:/guard``                                       string  there while sessions come back from the archive
``sojourn:{NN}:/removed``                                     zset    ``<tenant>/<id>`` that went meanwhile, by time
``sojourn:{NN}:/staged:<token>:<log>``                        list    entries on their way back from the archive
``sojourn:{NN}:/dead:<hook>``                                 stream  events that the hook was given up on
============================================================  ======  ==========================================

The slash keeps hooks' keys apart from those of a tenant called ``ledger``, for no tenant's name contains one.
``NN`` is the partition: a Redis hash tag, so all keys that one script touches live on one cluster node. Those below 100
are shared by tenants; from 100 on, each is of one tenant alone, which a Redis ACL can then confine to it. All times
are milliseconds since the epoch.
"""

from sojourn.keys.homes import Homes
from sojourn.keys.names import check_id, check_kind, check_tenant, is_id, is_tenant, parse_event_id
from sojourn.keys.reading import parse_key, parse_member, parse_tenant_key, session_pattern
from sojourn.keys.schema import (
    ARCHIVE,
    CHANGED_TENANTS,
    CHECKED,
    CLIENTS,
    COPIED_TENANTS,
    FIRST_ISOLATED,
    ISOLATED,
    LAST_ISOLATED,
    LAYOUT,
    META,
    REHYDRATING,
    TENANTS,
    PartitionKeys,
    TenantKeys,
    is_partition,
    partition_for,
    partition_note,
    queue_counts,
    worker_notes,
)

__all__ = [
    "ARCHIVE",
    "CHANGED_TENANTS",
    "CHECKED",
    "CLIENTS",
    "COPIED_TENANTS",
    "FIRST_ISOLATED",
    "ISOLATED",
    "LAST_ISOLATED",
    "LAYOUT",
    "META",
    "REHYDRATING",
    "TENANTS",
    "Homes",
    "PartitionKeys",
    "TenantKeys",
    "check_id",
    "check_kind",
    "check_tenant",
    "is_id",
    "is_partition",
    "is_tenant",
    "parse_event_id",
    "parse_key",
    "parse_member",
    "parse_tenant_key",
    "partition_for",
    "partition_note",
    "queue_counts",
    "session_pattern",
    "worker_notes",
]

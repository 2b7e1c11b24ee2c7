"""Create the table migrations."""

import sqlalchemy as sa

from livemig.db.migrations import steps

revision = '0002'
down_revision = '0001'


def upgrade():
    steps.create_table(
        'migrations',
        sa.Column('id', sa.Integer(), primary_key=True, autoincrement=True),
        sa.Column('uuid', sa.String(36), nullable=False),
        sa.Column('instance_uuid', sa.String(36), nullable=False),
        sa.Column('source_compute', sa.String(255)),
        sa.Column('source_node', sa.String(255)),
        sa.Column('dest_compute', sa.String(255)),
        sa.Column('dest_node', sa.String(255)),
        sa.Column('dest_host', sa.String(255)),
        sa.Column('status', sa.String(64), nullable=False),
        sa.Column('migration_type', sa.String(64)),
        sa.Column('hidden', sa.Boolean(), nullable=False),
        sa.Column('memory_total', sa.BigInteger()),
        sa.Column('memory_processed', sa.BigInteger()),
        sa.Column('memory_remaining', sa.BigInteger()),
        sa.Column('disk_total', sa.BigInteger()),
        sa.Column('disk_processed', sa.BigInteger()),
        sa.Column('disk_remaining', sa.BigInteger()),
        sa.Column('user_id', sa.String(255)),
        sa.Column('project_id', sa.String(255)),
        sa.Column('old_instance_type_id', sa.Integer()),
        sa.Column('new_instance_type_id', sa.Integer()),
        sa.Column('old_flavor_id', sa.String(255)),
        sa.Column('new_flavor_id', sa.String(255)),
        sa.Column('requested_host', sa.String(255)),
        sa.Column('block_migration', sa.Boolean()),
        sa.Column('disk_over_commit', sa.Boolean()),
        sa.Column('forced', sa.Boolean(), nullable=False),
        sa.Column('request_id', sa.String(255)),
        sa.Column('plan', steps.JSON),
        sa.Column('claimed_by', sa.String(255)),
        sa.Column('claimed_at', steps.TIME),
        sa.Column('abort_requested_at', steps.TIME),
        sa.Column('abort_requested_by', sa.String(255)),
        sa.Column('abort_request_id', sa.String(255)),
        sa.Column('force_requested_at', steps.TIME),
        sa.Column('force_requested_by', sa.String(255)),
        sa.Column('force_request_id', sa.String(255)),
        sa.Column('force_method', sa.String(64)),
        sa.Column('reason', steps.LONG_TEXT),
        sa.Column('completed_by', sa.String(64)),
        sa.Column('downtime_ms', sa.BigInteger()),
        sa.Column('throughput_bytes_per_s', sa.BigInteger()),
        sa.Column('started_at', steps.TIME),
        sa.Column('ended_at', steps.TIME),
        sa.Column('pass_number', sa.BigInteger()),
        sa.Column('dirty_bytes_per_s', sa.BigInteger()),
        sa.Column('memory_bytes_per_s', sa.BigInteger()),
        sa.Column('elapsed_s', sa.Double()),
        sa.Column('timeout_s', sa.Integer()),
        sa.Column('created_at', steps.TIME, nullable=False),
        sa.Column('updated_at', steps.TIME),
        sa.UniqueConstraint(
            'uuid',
            name='uniq_migrations0uuid',
        ),
    )
    steps.create_index(
        'ix_migrations_created',
        'migrations',
        ['created_at', 'id'],
    )
    steps.create_index(
        'ix_migrations_dest',
        'migrations',
        ['dest_compute', 'status'],
    )
    steps.create_index(
        'ix_migrations_instance',
        'migrations',
        ['instance_uuid', 'status'],
    )
    steps.create_index(
        'ix_migrations_project_created',
        'migrations',
        ['project_id', 'created_at', 'id'],
    )
    steps.create_index(
        'ix_migrations_source',
        'migrations',
        ['source_compute', 'status'],
    )
    steps.create_index(
        'ix_migrations_status_created',
        'migrations',
        ['status', 'created_at', 'id'],
    )
    steps.create_index(
        'ix_migrations_updated',
        'migrations',
        ['updated_at'],
    )


def downgrade():
    steps.drop_table('migrations')

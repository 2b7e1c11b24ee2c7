"""Create the table instances."""

import sqlalchemy as sa

from livemig.db.migrations import steps

revision = '0001'
down_revision = None


def upgrade():
    steps.create_table(
        'instances',
        sa.Column('id', sa.Integer(), primary_key=True, autoincrement=True),
        sa.Column('uuid', sa.String(36), nullable=False),
        sa.Column('display_name', sa.String(255)),
        sa.Column('description', sa.String(255)),
        sa.Column('user_id', sa.String(255)),
        sa.Column('project_id', sa.String(255)),
        sa.Column('reservation_id', sa.String(255)),
        sa.Column('hostname', sa.String(255)),
        sa.Column('host', sa.String(255)),
        sa.Column('node', sa.String(255)),
        sa.Column('vm_state', sa.String(64)),
        sa.Column('task_state', sa.String(64)),
        sa.Column('power_state', sa.Integer()),
        sa.Column('progress', sa.Integer()),
        sa.Column('memory_mb', sa.Integer()),
        sa.Column('vcpus', sa.Integer()),
        sa.Column('root_gb', sa.Integer()),
        sa.Column('flavor', steps.JSON),
        sa.Column('image_ref', sa.String(255)),
        sa.Column('image', steps.JSON),
        sa.Column('metadata', steps.JSON),
        sa.Column('locked', sa.Boolean(), nullable=False),
        sa.Column('locked_by', sa.String(255)),
        sa.Column('locked_reason', sa.String(255)),
        sa.Column('availability_zone', sa.String(255)),
        sa.Column('key_name', sa.String(255)),
        sa.Column('config_drive', sa.String(255)),
        sa.Column('mac_address', sa.String(32)),
        sa.Column('request_id', sa.String(255)),
        sa.Column('launched_at', steps.TIME),
        sa.Column('terminated_at', steps.TIME),
        sa.Column('created_at', steps.TIME, nullable=False),
        sa.Column('updated_at', steps.TIME),
        sa.Column('deleted_at', steps.TIME),
        sa.Column('deleted', sa.Integer(), nullable=False),
        sa.UniqueConstraint(
            'uuid',
            name='uniq_instances0uuid',
        ),
    )
    steps.create_index(
        'ix_instances_created',
        'instances',
        ['deleted', 'created_at', 'id'],
    )
    steps.create_index(
        'ix_instances_host',
        'instances',
        ['host', 'deleted', 'created_at', 'id'],
    )
    steps.create_index(
        'ix_instances_project_created',
        'instances',
        ['project_id', 'deleted', 'created_at', 'id'],
    )
    steps.create_index(
        'ix_instances_updated',
        'instances',
        ['updated_at'],
    )


def downgrade():
    steps.drop_table('instances')

"""Keep the snapshot of the image an instance is rescued with."""

import sqlalchemy as sa

from livemig.db.migrations import steps

revision = '0007'
down_revision = '0006'


def upgrade():
    steps.add_column('instances', sa.Column('rescue', steps.JSON))


def downgrade():
    steps.drop_column('instances', 'rescue')

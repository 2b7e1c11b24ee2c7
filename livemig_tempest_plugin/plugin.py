"""Where tempest finds the tests and their options."""

import os

from tempest.test_discover import plugins

from livemig_tempest_plugin import config


class LivemigTempestPlugin(plugins.TempestPlugin):
    """The entry point in the group ``tempest.test_plugins``."""

    def load_tests(self):
        package = os.path.dirname(os.path.abspath(__file__))
        return os.path.join(package, 'tests'), os.path.dirname(package)

    def register_opts(self, conf):
        conf.register_opt(config.SERVICE, group='service_available')
        conf.register_group(config.GROUP)
        conf.register_opts(config.OPTIONS, group=config.GROUP)

    def get_opt_lists(self):
        return [
            (config.GROUP.name, config.OPTIONS),
            ('service_available', [config.SERVICE]),
        ]

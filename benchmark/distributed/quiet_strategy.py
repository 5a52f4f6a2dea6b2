"""Lightning's DDP without its messages; a module of its own, because Lightning takes a second to import."""

import logging

from lightning.fabric.strategies import DDPStrategy


class QuietDDP(DDPStrategy):
    """DDP whose processes do not print that they have found each other."""

    def setup_environment(self) -> None:
        before = logging.root.manager.disable
        logging.disable(logging.INFO)
        try:
            super().setup_environment()
        finally:
            logging.disable(before)

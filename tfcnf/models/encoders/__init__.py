from tfcnf.registry import import_modules

import_modules(__name__, __path__)

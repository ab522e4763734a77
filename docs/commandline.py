"""The command line as an object that the reference of commands is made from."""

from mixlens.cli.main import application

app = application()

"""`python -m queries groups DIR --save | --rename | --delete`: named groups, from a shell."""

import argparse

from queries.store import Store


def add_options(parser: argparse.ArgumentParser) -> None:
    """What the command takes beside the store; without any of it, it lists the groups."""
    change = parser.add_mutually_exclusive_group()
    change.add_argument("--save", nargs=2, metavar=("NAME", "CLAUSE"), help="save a named group")
    change.add_argument("--rename", nargs=2, metavar=("NAME", "NEW"), help="rename one")
    change.add_argument("--delete", metavar="NAME", help="delete one")
    parser.add_argument("--title", default="", help="of the group to save (its name)")
    parser.add_argument("--description", default="", help="of the group to save")
    parser.add_argument("--shared", action="store_true", help="for all stores, not for this one")
    parser.add_argument("--overwrite", action="store_true", help="replace one of that name")


def change_groups(store: Store, options: argparse.Namespace) -> None:
    """Do what the options ask for, if anything. Raises GroupError."""
    if options.save:
        name, clause = options.save
        store.groups.save(
            name, clause, options.title, options.description,
            shared=options.shared, overwrite=options.overwrite,
        )  # fmt: skip
    elif options.rename:
        name, new = options.rename
        store.groups.rename(name, new, shared=options.shared, overwrite=options.overwrite)
    elif options.delete:
        store.groups.delete(options.delete, shared=options.shared)

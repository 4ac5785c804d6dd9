"""The doors: manifest, commands, menus, keys; all from one table, none of them dead."""

from __future__ import annotations

import importlib
import inspect
from typing import Any

import pytest
from napari.utils.key_bindings import coerce_keybinding
from napari.utils.shortcuts import default_shortcuts
from npe2 import PluginManifest

from napari_deblend.actions import ACTIONS
from napari_deblend.widgets.guide import page


@pytest.fixture(scope="module")
def manifest() -> PluginManifest:
    manifest = PluginManifest.from_distribution("napari-deblend")
    manifest.validate_imports()
    return manifest


def test_the_hub_finds_name_and_categories(manifest: PluginManifest) -> None:
    assert manifest.display_name == "Deblend"
    assert set(manifest.categories or ()) == {"Image Processing", "IO", "Simulation", "Visualization"}


def test_every_command_leads_somewhere(manifest: PluginManifest) -> None:
    for command in manifest.contributions.commands or ():
        module, name = str(command.python_name).split(":")
        assert callable(getattr(importlib.import_module(module), name)), command.id


def test_every_action_is_in_the_palette_under_its_own_title(manifest: PluginManifest) -> None:
    titles = {c.id: c.title for c in manifest.contributions.commands or ()}
    for action in ACTIONS.values():
        assert titles[f"napari-deblend.{action.name}"] == action.title


def test_commands_ask_for_the_viewer_in_a_way_that_napari_can_fill() -> None:
    from napari.viewer import Viewer

    from napari_deblend import commands

    for name in (*ACTIONS, "open_fits"):
        function = getattr(commands, name)
        assert inspect.get_annotations(function, eval_str=True)["viewer"] is Viewer


def test_menus_are_those_that_napari_shows(manifest: PluginManifest) -> None:
    from napari._app_model.constants._menus import MenuId

    shown = {str(menu) for menu in MenuId.contributables()}
    assert set(manifest.contributions.menus) <= shown
    assert "napari/file/io_utilities" in manifest.contributions.menus


def test_no_key_is_bound_twice_and_none_is_naparis() -> None:
    ours = [coerce_keybinding(action.key) for action in ACTIONS.values() if action.key]
    assert len(set(map(str, ours))) == len(ours)
    theirs = {str(key): name for name, keys in default_shortcuts.items() for key in keys}
    clashes = {str(key): theirs[str(key)] for key in ours if str(key) in theirs}
    assert not clashes


def test_no_key_is_one_of_naparis_menus(make_napari_viewer: Any) -> None:
    from napari._app_model import get_app_model

    make_napari_viewer()
    theirs = {str(binding.keybinding): binding.command_id for binding in get_app_model().keybindings}
    ours = [str(coerce_keybinding(action.key)) for action in ACTIONS.values() if action.key]
    assert not {key: theirs[key] for key in ours if key in theirs}


def test_the_help_shows_every_key() -> None:
    text = page()
    for action in ACTIONS.values():
        if action.key:
            assert action.title in text
    assert "Ctrl+Shift+Z" in text


def test_the_menus_hold_widget_open_and_sample(make_napari_viewer: Any) -> None:
    from napari._app_model import get_app_model

    make_napari_viewer()
    menus = get_app_model().menus
    assert any("Open FITS…" in title for title in titles(menus, "napari/file/io_utilities"))
    assert any("Deblend" in title for title in titles(menus, "napari/plugins"))
    assert any("Blend of stars" in title for title in titles(menus, "napari/file/samples"))


def titles(menus: Any, menu: str) -> list[str]:
    """Return the titles of a menu and of the menus in it."""
    found: list[str] = []
    for item in menus.get_menu(menu):
        if hasattr(item, "submenu"):
            found += titles(menus, item.submenu) if item.submenu in menus else [item.title]
        else:
            found.append(item.command.title)
    return found

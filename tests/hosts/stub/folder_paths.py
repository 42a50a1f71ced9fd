"""The host's folders of models."""

import os
import tempfile

models_dir = tempfile.mkdtemp(prefix="models")
folder_names_and_paths = {}
_temp = tempfile.mkdtemp(prefix="temp")


def get_temp_directory():
    return _temp


def add_model_folder_path(folder_name, full_folder_path, is_default=False):
    paths, _ = folder_names_and_paths.setdefault(folder_name, ([], set()))
    if full_folder_path not in paths:
        paths.insert(0 if is_default else len(paths), full_folder_path)


def get_folder_paths(folder_name):
    return list(folder_names_and_paths[folder_name][0])


def get_filename_list(folder_name):
    paths, extensions = folder_names_and_paths[folder_name]
    names = {
        os.path.relpath(os.path.join(folder, file), path)
        for path in paths
        for folder, _, files in os.walk(path)
        for file in files
    }
    return sorted(name for name in names if not extensions or os.path.splitext(name)[1].lower() in extensions)


def get_full_path(folder_name, filename):
    filename = os.path.relpath(os.path.join("/", filename), "/")
    for path in folder_names_and_paths.get(folder_name, ([], set()))[0]:
        full = os.path.join(path, filename)
        if os.path.isfile(full):
            return full
    return None

"""Where settings come from: what is given, then the environment, then a folder of secrets."""

from pathlib import Path

from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SecretsSettingsSource

# Where containers find their secrets, one file each.
SECRETS = Path("/run/secrets")


class SettingsSources(BaseSettings):
    """Settings that are read in this order."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take what is given, then the environment, then the folder of secrets where there is one."""
        del dotenv_settings, file_secret_settings
        folder = Path(env_settings().get("secrets_dir", SECRETS))
        files = (SecretsSettingsSource(settings_cls, folder),) if folder.is_dir() else ()
        return (init_settings, env_settings, *files)

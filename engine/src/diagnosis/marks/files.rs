//! What systems and programs say of files, disks and what is there already.

use crate::diagnosis::marks::{Mark, NONE};
use crate::diagnosis::signal::Signal;

pub(super) const MARKS: &[Mark] = &[
    Mark {
        signal: Signal::NotFound,
        codes: &["io.not_found", "ENOENT"],
        errno: &[2],
        words: &[
            "no such file or directory",
            "the system cannot find the file specified",
            "nosuchfileexception",
            "command not found",
            "executable file not found in $path",
            "datei oder verzeichnis nicht gefunden",
            "aucun fichier ou dossier de ce type",
            "no existe el fichero o el directorio",
            "no existe el archivo o el directorio",
            "そのようなファイルやディレクトリはありません",
        ],
        phrases: &[
            "unable to open database file",
            "could not find file '",
            "could not find a part of the path '",
        ],
        plain: &["file not found"],
        ..NONE
    },
    Mark {
        signal: Signal::NotAFolder,
        codes: &["io.not_a_directory", "io.is_a_directory", "ENOTDIR", "EISDIR"],
        errno: &[20, 21],
        phrases: &["the system cannot find the path specified"],
        plain: &[
            "not a directory",
            "is a directory",
            "ist kein verzeichnis",
            "ist ein verzeichnis",
            "ディレクトリではありません",
            "ディレクトリです",
        ],
        ..NONE
    },
    Mark {
        signal: Signal::Denied,
        codes: &["io.permission_denied", "EACCES", "EPERM"],
        errno: &[1, 13],
        words: &["nio.file.accessdeniedexception"],
        phrases: &["access to the path '"],
        plain: &[
            "permission denied",
            "operation not permitted",
            "access is denied",
            "keine berechtigung",
            "permission non accordée",
            "permiso denegado",
            "許可がありません",
        ],
        ..NONE
    },
    Mark {
        signal: Signal::Full,
        codes: &["io.storage_full", "ENOSPC"],
        errno: &[28],
        names: &["diskfull", "storagefull"],
        states: &["53100"],
        mysql: &[1021],
        words: &[
            "no space left on device",
            "there is not enough space on the disk",
            "auf dem gerät ist kein speicherplatz mehr verfügbar",
            "aucun espace disponible sur le périphérique",
            "no queda espacio en el dispositivo",
            "デバイスに空き領域がありません",
        ],
        phrases: &["database or disk is full"],
        plain: &["disk full", "disk is full"],
        ..NONE
    },
    Mark {
        signal: Signal::Quota,
        codes: &["io.quota_exceeded", "io.file_too_large", "EDQUOT", "EFBIG"],
        errno: &[27, 122],
        names: &["storagequotaexceeded"],
        words: &["disk quota exceeded", "file size limit exceeded"],
        plain: &["file too large"],
        ..NONE
    },
    Mark {
        signal: Signal::ReadOnly,
        codes: &["io.read_only_filesystem", "EROFS"],
        errno: &[30],
        names: &["readonlyfilesystem", "readonlysqltransaction"],
        states: &["25006"],
        mysql: &[1290, 1792, 1836],
        words: &[
            "read-only file system",
            "das dateisystem ist nur lesbar",
            "système de fichiers accessible en lecture seulement",
            "sistema de ficheros de sólo lectura",
            "読み込み専用ファイルシステムです",
        ],
        phrases: &[
            "attempt to write a readonly database",
            "in a read-only transaction",
            "can't write against a read only replica",
        ],
        ..NONE
    },
    Mark {
        signal: Signal::NameTooLong,
        codes: &["io.invalid_filename", "ENAMETOOLONG"],
        errno: &[36, 206],
        words: &[
            "file name too long",
            "der dateiname ist zu lang",
            "nom de fichier trop long",
            "ファイル名が長すぎます",
        ],
        ..NONE
    },
    Mark {
        signal: Signal::TooManyFiles,
        codes: &["io.too_many_open_files", "EMFILE", "ENFILE"],
        errno: &[23, 24],
        words: &[
            "too many open files",
            "too many open files in system",
            "zu viele offene dateien",
            "trop de fichiers ouverts",
            "demasiados archivos abiertos",
            "開いているファイルが多すぎます",
        ],
        ..NONE
    },
    Mark {
        signal: Signal::Exists,
        codes: &["io.already_exists", "EEXIST"],
        errno: &[17],
        names: &[
            "alreadyexists",
            "resourcealreadyexists",
            "entityalreadyexists",
            "filealreadyexists",
            "fileexists",
            "bucketalreadyexists",
            "bucketalreadyownedbyyou",
            "duplicatekey",
            "uniqueviolation",
        ],
        states: &["23505", "42p07", "42701"],
        mysql: &[1007, 1050, 1062],
        words: &[
            "duplicate key value violates unique constraint",
            "unique constraint failed",
            "violates unique constraint",
            "duplicate entry",
        ],
        phrases: &[
            "already exists and is not an empty directory",
            "cannot insert duplicate key in object",
            "ora-00001",
        ],
        plain: &["file exists", "die datei existiert bereits", "le fichier existe", "ファイルが存在します"],
        ..NONE
    },
];

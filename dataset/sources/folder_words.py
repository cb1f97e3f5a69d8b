"""What folders are commonly called: splits, folds, circumstances, verdicts, pictures and annotations.

Words are compared without case, accents, separators and digits, in the languages that data sets are named in.
"""

import re
import unicodedata
from functools import lru_cache


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_ROLES = {
    "train": _words(
        "train training trainings trn labelled labeled "
        "learn learning tren treino treinamento entrenamiento entrenar entrainement "
        "apprentissage addestramento allenamento egitim trening treningowe treningowy uczenie traning oplaering latih "
        "pelatihan обучение обучающая обучающие тренировка тренировочная тренировочные εκπαιδευση تدريب 训练 訓練 学習 "
        "학습 훈련"
    ),
    "test": _words(
        "test testing tests tst unlabelled unlabeled "
        "eval evaluation holdout heldout prueba pruebas teste testes essai prufung prova uji "
        "pengujian inference pred predict prediction query gallery тест тестовая тестовые тестирование δοκιμη اختبار "
        "测试 測試 テスト 評価 시험 테스트 평가"
    ),
    "val": _words(
        "val valid validation validate dev devel development "
        "validacion validacao validierung validierungs convalida validazione "
        "walidacja dogrulama validasi validering валидация валидационная проверка 验证 驗證 検証 검증"
    ),
}
# Said beside a split without changing what it is: `seg_train`, `test_images`, `Trainingsdaten`, 测试集.
_BESIDE_A_SPLIT = _words(
    "set sets data dataset datasets dataset image images img imgs picture pictures pic pics photo photos bild bilder "
    "seg segmentation cls class classes classification split splits folder dir part final new raw all full jpg jpeg "
    "png rgb resized cropped crop augmented aug clean orig original processed sample samples subset daten datos dados "
    "donnees dati datensatz conjunto jeu veri seti данные выборка набор 集 集合 数据 数据集 數據 图像 图片 データ "
    "セット 画像 用 데이터 세트"
)
_FOLD_WORDS = _words("fold folds split cv kfold k xval cross partition falte")
_CIRCUMSTANCES = _words(
    "monday tuesday wednesday thursday friday saturday sunday mon tue wed thu fri sat sun january february march april "
    "may june july august september october november december jan feb mar apr jun jul aug sep sept oct nov dec "
    "montag dienstag mittwoch donnerstag freitag samstag sonntag lunes martes lundi mardi "
    "day week month year date time session shift morning afternoon evening night run trial round batch lot "
    "cam camera kamera sensor lens view angle left right top bottom front back side inside outside position pos shot "
    "line station machine cell plant factory site location place zone area room floor user operator person patient "
    "subject worker video clip frame frames seq sequence scan series set group folder dir dcim part object obj item "
    "sample specimen serial sn id no nr num exposure exp light lighting "
    "image images img imgs picture pictures pic pics photo photos raw orig original originals old new archive backup "
    "misc other others unsorted extra more web google bing flickr phone iphone android canon nikon sony "
    "resized cropped crop augmented aug"
)
_VERDICTS = _words(
    "good bad ok okay ng nok io nio normal abnormal anomaly anomalies anomalous defect defects defective faulty fault "
    "fail failed pass passed positive negative neg yes true false healthy sick diseased damaged damage intact broken "
    "accept accepted reject rejected benign malignant gut schlecht fehler fehlerhaft defekt bueno bueno malo bon "
    "mauvais buono cattivo difettoso bom ruim defeito 良品 不良品 良 不良 合格 不合格 正常 异常 異常 缺陷 양품 불량"
)
_PICTURE_WORDS = _words("image images img imgs jpegimages picture pictures photo photos rgb bild bilder imagen")
_ANNOTATION_WORDS = _words(
    "mask masks label labels annotation annotations annot annots groundtruth gt segmentation segmentations "
    "segmentationclass segmentationobject bbox bboxes trimap trimaps imagesets labelstxt xml xmls maske "
    "masken mascaras masques"
)
_TOKEN = re.compile(r"[^\W\d_]+")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_DATE_OR_NUMBER = re.compile(r"\d{2,}|\d+([-_. :]\d+)+")


@lru_cache(maxsize=100_000)
def tokens(name: str) -> tuple[str, ...]:
    """Return the words of a name: `TrainingSet_2` has `training` and `set`."""
    apart = unicodedata.normalize("NFKD", _CAMEL.sub(" ", name)).casefold()
    plain = "".join(one for one in apart if not "\u0300" <= one <= "\u036f")
    return tuple(_TOKEN.findall(unicodedata.normalize("NFC", plain)))


def split_role(name: str) -> tuple[str, tuple[str, ...]] | None:
    """Return the part that a folder of this name has in a split, and the words that say something else; None if none.

    The part is `train`, `test`, `val`, or `fold` where the name has a number. `leaf_train` and `leaf_test` both say
    `leaf` besides, so they belong together; `test_tube` and `test_strip` do not.
    """
    words = tokens(name)
    role = _role_of("".join(words))  # hold-out
    rest: list[str] = []
    for word in [] if role else words:
        found = _role_of(word)
        if found:
            role = role or found
        elif word not in _BESIDE_A_SPLIT and len(word) > 1:
            rest.append(word)
    if role:
        return role, tuple(rest)
    if words and set(words) <= _FOLD_WORDS and any(character.isdigit() for character in name):
        return "fold", ()
    return None


def says_circumstance(name: str) -> bool:
    """Tell whether a name says when, where or how pictures were taken, and so is no class: `monday`, `cam_2`."""
    words = [word for word in tokens(name) if len(word) > 1]
    if split_role(name):
        return True
    if not words:
        return _DATE_OR_NUMBER.fullmatch(name.strip()) is not None
    return all(word in _CIRCUMSTANCES for word in words)


def says_verdict(name: str) -> bool:
    """Tell whether a name is a verdict, and so a class: `good`, `NG`, `defect_3`."""
    return any(word in _VERDICTS for word in tokens(name))


def says_pictures(name: str) -> bool:
    """Tell whether a name only says that pictures are in there."""
    return "".join(tokens(name)) in _PICTURE_WORDS


def says_annotations(name: str) -> bool:
    """Tell whether a name says that masks, boxes or other annotations are in there."""
    return "".join(tokens(name)) in _ANNOTATION_WORDS


@lru_cache(maxsize=100_000)
def _role_of(word: str) -> str:
    for role, words in _ROLES.items():
        if word in words:
            return role
    for role, words in _ROLES.items():
        for known in words:
            glued = len(known) > 2 or not known.isascii()
            if glued and word.startswith(known) and word[len(known) :] in _BESIDE_A_SPLIT:
                return role
            if glued and word.endswith(known) and word[: -len(known)] in _BESIDE_A_SPLIT:
                return role
    return ""

"""The same lake on Spark, for who has outgrown one machine: the catalogue's expressions run unchanged.

Reads only. Works with a local cluster or with the one that the given master names.
"""

from __future__ import annotations

from pathlib import Path

import ibis
import ibis.expr.types as ir
from pyspark.sql import SparkSession
from pyspark.sql import types as st

from sealwright.detection.catalogue.model import TABLES
from sealwright.detection.catalogue.tables import Tables

_SPARK = {
    "string": st.StringType(),
    "int64": st.LongType(),
    "float64": st.DoubleType(),
    "boolean": st.BooleanType(),
    "array<string>": st.ArrayType(st.StringType()),
}


class SparkEngine:
    """Spark over a lake.

    Args:
        lake: folder with one folder of Parquet segments for each table, on storage that every worker reads.
        master: Spark master URL.
        partitions: shuffle partitions; a few on one machine, the default of 200 on a cluster.
    """

    def __init__(self, lake: Path, master: str = "local[2]", partitions: int = 4) -> None:
        self._lake = lake
        # Loopback and no web interface: a detection run must not open a port to the network.
        self._session = (
            SparkSession.builder.master(master)
            .appName("sealwright-detection")
            .config("spark.driver.host", "127.0.0.1")
            .config("spark.driver.bindAddress", "127.0.0.1")
            .config("spark.ui.enabled", "false")
            .config("spark.sql.session.timeZone", "UTC")
            .config("spark.sql.shuffle.partitions", str(partitions))
            .getOrCreate()
        )
        self.connection = ibis.pyspark.connect(self._session)

    def tables(self) -> Tables:
        """The lake as it is now."""
        return Tables(**{name: self._table(name) for name in TABLES})

    def close(self) -> None:
        """Stop the session."""
        self._session.stop()

    def _table(self, name: str) -> ir.Table:
        folder = self._lake / name
        if any(folder.glob("*.parquet")):
            rows = self._session.read.parquet(str(folder)).select(*TABLES[name])
        else:
            columns = [st.StructField(column, _SPARK[kind]) for column, kind in TABLES[name].items()]
            rows = self._session.createDataFrame([], st.StructType(columns))
        rows.createOrReplaceTempView(name)
        return self.connection.table(name)

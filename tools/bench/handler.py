"""A typical tutorial's handler: FastAPI, a pydantic model, pandas and scikit-learn's `predict`."""

from typing import Any

import pandas as pd
from fastapi import FastAPI
from pydantic import BaseModel, Field, create_model

from tools.bench.forest import Forest, load
from tools.bench.serving import serve


def tutorial(forest: Forest) -> FastAPI:
    """Return the application; `POST /predict` takes one object of 30 numbers."""
    app = FastAPI()
    model = forest.classifier
    # Fitted with column names, as in a tutorial, so that it needs a table with names.
    model.fit(pd.DataFrame(forest.X, columns=forest.names), forest.y)
    fields: dict[str, Any] = {
        f"f{index}": (float, Field(alias=name)) for index, name in enumerate(forest.names)
    }
    row_type: type[BaseModel] = create_model("Row", **fields)

    def predict(row: Any) -> dict[str, str]:
        frame = pd.DataFrame([row.model_dump(by_alias=True)])
        return {"prediction": model.predict(frame)[0]}

    # FastAPI cannot resolve an annotation that is local to this function.
    predict.__annotations__["row"] = row_type
    app.post("/predict")(predict)

    @app.get("/readyz")
    def ready() -> dict[str, str]:
        return {"status": "ready"}

    return app


if __name__ == "__main__":
    serve(tutorial(load()))
